"""Whether a version may serve by what is known of it without judging anew: its gates, and what was decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sentinel.promotion.catalogue import StoredVersion
from sentinel.promotion.entries import Entry, is_about_serving, told
from sentinel.promotion.figures import read_json, undecided_gates
from sentinel.promotion.layout import FACTS
from sentinel.promotion.switch.warrant import TAG, read_warrant

Mode = Literal["auto", "manual"]


def reasons_against(
    stored: StoredVersion, folder: Path, chain: Sequence[Entry], warrant: Entry | None, review: Mode
) -> list[str]:
    """A sentence for each; none: it may serve. `warrant`: of its own, by a key that is trusted here."""
    facts, about = read_json(folder / FACTS), [entry for entry in chain if entry["release"] == stored.release]
    if not facts["passed"]:
        return [f"it failed {', '.join(facts['failed'])}"]
    if about and about[-1]["outcome"] in ("rejected", "expired"):
        return [f"it was {about[-1]['outcome']} {told(about[-1])}"]
    if warrant is not None or any(is_about_serving(entry) for entry in about):
        return []
    if undecided := undecided_gates(folder):
        return [f"no reviewer approved it, and the data do not suffice to tell: {', '.join(undecided)}"]
    return ["no reviewer approved it"] if review == "manual" else []


def warrant_of(stored: StoredVersion, publics: list[Path], name: str) -> Entry | None:
    if "release" not in stored.tags:
        return None
    text = stored.tags.get(TAG)
    return read_warrant(text, publics, name=name, version=stored.version, release=stored.release)
