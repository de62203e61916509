"""What a materialization did, and what of it is noted beside the rows for the next one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sentinel.features.online.latest import Reach
from sentinel.features.online.proof import Sample, subject
from sentinel.features.online.rows import OnlineRows
from sentinel.features.spec import FeatureSet


@dataclass(frozen=True)
class ViewOnline:
    """`rows`: of the table that can still be read; `written`: those that the store did not have yet.

    They became knowable after `after_us` and not after `until_us`; `digest` is theirs, `past_digest` that of the rows
    which were the latest at the end of the data.
    """

    view: str
    rows: int
    written: int
    after_us: int
    until_us: int
    digest: str
    past_digest: str

    @property
    def reach(self) -> Reach:
        return Reach(self.after_us, self.until_us)


@dataclass(frozen=True)
class Materialized:
    """`end_us`: the end of the table's data. `mismatches`: a sentence for each sampled key that differs."""

    feature_set: FeatureSet
    end_us: int
    views: tuple[ViewOnline, ...]
    sample: Sample
    mismatches: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(view.rows for view in self.views)

    @property
    def written(self) -> int:
        return sum(view.written for view in self.views)

    def to_dict(self) -> dict[str, Any]:
        return {
            "feature_set_hash": self.feature_set.hash,
            "end_us": self.end_us,
            "rows": self.rows,
            "written": self.written,
            "views": [asdict(view) for view in self.views],
            "sampled": self.sample.size,
            "mismatches": len(self.mismatches),
            "first_mismatches": list(self.mismatches[:10]),
        }


@dataclass(frozen=True)
class Noted:
    """What the store holds by its notes: `views` by name, and up to when rows may be those of other data.

    `outdated_until_us` stands while a table whose past is not the noted one replaces it; None: nothing is outdated.
    """

    views: dict[str, ViewOnline]
    end_us: int | None
    outdated_until_us: int | None


def read_note(rows: OnlineRows, wanted: FeatureSet) -> Noted:
    complete, outdated = rows.noted(subject(wanted.hash)), rows.noted(_outdated(wanted))
    outdated_until_us = int(outdated) if outdated else None
    if not complete:
        return Noted({}, None, outdated_until_us)
    noted = json.loads(complete)
    return Noted({view["view"]: ViewOnline(**view) for view in noted["views"]}, noted["end_us"], outdated_until_us)


def note_outdated(rows: OnlineRows, wanted: FeatureSet, until_us: int) -> None:
    """From now on a run that is killed leaves no complete version, and the next one knows what to look through."""
    rows.note(_outdated(wanted), str(until_us))
    rows.note(subject(wanted.hash), "")


def note_complete(rows: OnlineRows, done: Materialized) -> None:
    rows.note(subject(done.feature_set.hash), json.dumps(done.to_dict()))
    rows.note(_outdated(done.feature_set), "")


def _outdated(wanted: FeatureSet) -> str:
    return f"outdated:{wanted.hash}"
