"""Stage `materialize`: the rows of a built table that scoring can still ask for, into the online store.

What was written is noted in the store beside the rows: how far, and a digest of the table's latest rows so far. While
a table's past has that digest, only what became knowable since is written; an emptied or another store has no note,
and gets everything. A killed run leaves no note, so that the next one completes it; no row is older afterwards.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sentinel.artifacts import FeatureTable, OnlineFeatures
from sentinel.features.online.latest import BuiltTable, Content, Reach, open_table
from sentinel.features.online.proof import ONLINE, SAMPLE, Sample, absent_keys, find_mismatches, subject
from sentinel.features.online.rows import OnlineRow, OnlineRows
from sentinel.features.online.store import SOME_CONFIGURATION, open_online, store_kind
from sentinel.features.spec import FeatureSet, FeatureView, microseconds, view_name
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, sha256_path, write_json

SAMPLED_ROWS = 300  # a view
_SEED = 7


@dataclass(frozen=True)
class ViewOnline:
    """`rows`: of the table that can still be read; `written`: those that the store did not have yet.

    They became knowable after `after_us` and not after `watermark_us`; `digest` is theirs.
    """

    view: str
    rows: int
    written: int
    after_us: int
    watermark_us: int
    digest: str

    @property
    def reach(self) -> Reach:
        return Reach(self.after_us, self.watermark_us)


@dataclass(frozen=True)
class Materialized:
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


def materialize(
    table: FeatureTable, *, name: str, paths: Paths, redis_url: str | None, out: Path, where: str = SOME_CONFIGURATION,
    progress: Progress = silent,
) -> OnlineFeatures:  # fmt: skip
    """Bring the online store of `name` up to date with a built table, and prove it on sampled rows.

    Raises ServiceUnavailable when the store does not answer.
    """
    folder = table.locate(paths.home)
    with complete_folder(out) as made:
        with closing(open_online(paths, name, redis_url, where=where)) as rows:
            done = bring_online(folder, rows, spill=made / "spill", progress=progress)
        write_json(made / ONLINE, {"store": store_kind(redis_url), **done.to_dict()})
        write_json(made / SAMPLE, done.sample.to_dict())
        digest = sha256_path(made)
    record_in_feast(paths, name, done)
    return OnlineFeatures(
        path=paths.relative(out), sha256=digest, feature_set_hash=done.feature_set.hash, store=store_kind(redis_url),
        rows=done.rows,
    )  # fmt: skip


def record_in_feast(paths: Paths, name: str, done: Materialized) -> None:
    """Tell Feast's registry what was written; without anything new it is not asked, for Feast takes seconds to load."""
    if done.written:
        from sentinel.features.store import record_materialized

        record_materialized(paths, name, {view.view: view.reach for view in done.views})


def bring_online(
    table: Path, rows: OnlineRows, *, spill: Path, until_us: int | None = None, progress: Progress = silent
) -> Materialized:
    """Write what the store lacks of the table in the folder `table`; `until_us`: as of that moment instead of now."""
    with open_table(table, spill) as built:
        end_us = built.end_us() if until_us is None else until_us
        now_us = time.time_ns() // 1000 if until_us is None else until_us
        done = _write_views(built, rows, end_us, now_us, progress)
        if done.mismatches:  # the note stands, but rows were lost: by eviction, or by hand
            rows.note(subject(built.feature_set.hash), "")
            done = _write_views(built, rows, end_us, now_us, progress)
        return done


def _write_views(built: BuiltTable, rows: OnlineRows, end_us: int, now_us: int, progress: Progress) -> Materialized:
    wanted = built.feature_set
    noted = rows.noted(subject(wanted.hash))
    before = {view["view"]: ViewOnline(**view) for view in json.loads(noted)["views"]} if noted else {}
    until_us = _speaks_until(wanted, end_us, now_us)
    views: list[ViewOnline] = []
    sampled: dict[str, list[OnlineRow]] = {}
    for done, view in enumerate(wanted.views):
        name = view_name(view, wanted)
        reach = Reach(end_us - microseconds(view.ttl) - 1, until_us)
        with built.latest(view, reach) as latest:
            content = latest.content()
            since_us = _held_until(built, view, before.get(name), reach, content)
            if before and since_us == reach.after_us:
                rows.note(subject(wanted.hash), "")  # a run that is killed from here on has to be done again
            written = 0
            for batch in latest.batches(since_us):
                rows.write(name, batch)
                written += len(batch)
                progress(done + written / content.rows, len(wanted.views), name)
            views.append(ViewOnline(name, content.rows, written, *reach, content.digest))
            sampled[name] = latest.sample(SAMPLED_ROWS)
    sample = Sample(end_us, sampled, {name: absent_keys(found, _SEED) for name, found in sampled.items()})
    made = Materialized(wanted, end_us, tuple(views), sample, tuple(find_mismatches(rows, sample)))
    if not made.mismatches:
        rows.note(subject(wanted.hash), json.dumps(made.to_dict()))
    progress(len(wanted.views), len(wanted.views), "compared with the table")
    return made


def _speaks_until(wanted: FeatureSet, end_us: int, now_us: int) -> int:
    """The moment whose state the store is to hold: now, while the data can answer a question asked now.

    Data that are older answer only questions of their own time, as a replay asks them: then it is their end. What
    becomes knowable later, such as a label that is known to come, would hide what can be used.
    """
    longest = max(microseconds(view.ttl) for view in wanted.views)
    return now_us if end_us <= now_us <= end_us + longest else end_us


def _held_until(built: BuiltTable, view: FeatureView, before: ViewOnline | None, reach: Reach, content: Content) -> int:
    """Up to when the store holds what this table says; the start of `reach` when it never did, or no longer does."""
    if before is None:
        return reach.after_us
    past = content if before.reach == reach else built.content(view, before.reach)
    return max(before.watermark_us, reach.after_us) if past.digest == before.digest else reach.after_us
