"""An entry of the decision chain, as every decision writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sentinel.promotion.catalogue import Catalogue, StoredVersion
from sentinel.promotion.figures import evidence_digests
from sentinel.promotion.words import MOST_NAME, as_markdown, one_line, required

Entry = dict[str, Any]
BY_HAND = "by hand in MLflow"


@dataclass(frozen=True)
class Decided:
    """What was decided, why, by whom, and when. Raises DecisionRefused when no reason is given."""

    outcome: str
    reason: str
    decided_by: str
    decided_at: datetime

    def entry(
        self, catalogue: Catalogue, stored: StoredVersion, folder: Path | None, after: str | None, **more: Any
    ) -> Entry:
        """`after`: the champion from then on. `folder`: of the release, whose digests are the evidence."""
        return {
            "id": uuid4().hex,
            "name": catalogue.name,
            "release": stored.tags.get("release", ""),
            "version": stored.version,
            "outcome": self.outcome,
            "reason": required(self.reason, "reason"),
            "decided_by": required(self.decided_by, "name of who decides", MOST_NAME),
            "decided_at": self.decided_at.astimezone(UTC).isoformat(timespec="seconds"),
            "evidence": evidence_digests(folder) if folder else {},
            "champion_before": catalogue.champion,
            "champion_after": after,
            **more,
        }


def is_about_serving(entry: Entry) -> bool:
    """Whether the entry says which version serves from then on; one that rejects or waits only says what it saw."""
    return entry.get("outcome") not in ("waiting", "rejected", "expired")


def champion_by(chain: Sequence[Entry]) -> str | None:
    """The version that serves by the last entry about serving; None: none does."""
    return next((entry.get("champion_after") for entry in reversed(chain) if is_about_serving(entry)), None)


def told(entry: Mapping[str, Any]) -> str:
    """Who decided, when and why, at the end of a sentence."""
    return f"by {one_line(entry['decided_by'], MOST_NAME)} at {entry['decided_at']} ({one_line(entry['reason'])})"


def state_text(entry: Entry) -> str:
    """How a version stands, as the first paragraph of its description says it."""
    if entry["outcome"] == "rolled_back":
        return _state(entry, f"serves again, rolled back from version {entry['champion_before'] or 'none'}")
    text = _state(entry, entry["outcome"].replace("_", " "))
    if entry["outcome"] != "waiting":
        return text
    return (
        f"{text} Answer with the tag `review` = `approved` or `rejected` (and `review_comment`, `reviewer`), in the "
        f"waiting run in Prefect, or with `sentinel models approve {entry['version']} --reason TEXT`."
    )


def left_text(entry: Entry) -> str:
    """How the version stands that this rollback left."""
    return _state(entry, f"left by a rollback to version {entry['champion_after']}")


def _state(entry: Entry, what: str) -> str:
    when = datetime.fromisoformat(entry["decided_at"]).astimezone(UTC)
    return f"{what}** by {as_markdown(entry['decided_by'])}, {when:%Y-%m-%d %H:%M} UTC. {as_markdown(entry['reason'])}"
