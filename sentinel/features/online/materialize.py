"""Stage `materialize`: the rows of a built table that scoring can still ask for, into the online store.

What was written is noted in the store beside the rows: how far, and a digest of the table's latest rows so far. While
a table's past has that digest, only what became knowable since is written; an emptied or another store has no note,
and gets everything. A killed run leaves no new note, so that the next one completes it. No row becomes older, but for
those of a past that the table no longer has.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from sentinel.artifacts import FeatureTable, OnlineFeatures
from sentinel.features.online.latest import BuiltTable, Content, LatestRows, Reach, open_table
from sentinel.features.online.proof import ONLINE, SAMPLE, Sample, absent_keys, find_mismatches
from sentinel.features.online.record import (
    Materialized,
    Noted,
    ViewOnline,
    note_complete,
    note_outdated,
    read_note,
)
from sentinel.features.online.rows import OnlineRow, OnlineRows
from sentinel.features.online.store import SOME_CONFIGURATION, open_online, store_kind
from sentinel.features.spec import FeatureSet, FeatureView, microseconds, view_name
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, sha256_path, write_json

SAMPLED_ROWS = 300  # a view
_SEED = 7


def materialize(
    table: FeatureTable, *, name: str, paths: Paths, redis_url: str | None, out: Path,
    where: str = SOME_CONFIGURATION, progress: Progress = silent,
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
        reached_us = _speaks_until(built.feature_set, end_us, time.time_ns() // 1000) if until_us is None else until_us
        filling = _Filling(built, rows, read_note(rows, built.feature_set), end_us, reached_us)
        done = filling.fill(progress)
        if done.mismatches:  # the note stands, but rows were lost: by eviction, or by hand
            done = replace(filling, noted=Noted({}, None, None)).fill(progress)
        if not done.mismatches and not filling.is_older:
            note_complete(rows, done)
        return done


def _speaks_until(wanted: FeatureSet, end_us: int, now_us: int) -> int:
    """The moment whose state the store is to hold: now, while the data can answer a question asked now.

    Data that are older answer only questions of their own time, as a replay asks them: then it is their end. What
    becomes knowable later, such as a label that is known to come, would hide what can be used.
    """
    longest = max(microseconds(view.ttl) for view in wanted.views)
    return now_us if end_us <= now_us <= end_us + longest else end_us


@dataclass(frozen=True)
class _Filling:
    """One pass over a table: up to `until_us`, without what was expired at the end of its data."""

    built: BuiltTable
    rows: OnlineRows
    noted: Noted
    end_us: int
    until_us: int

    @property
    def is_older(self) -> bool:
        """Whether the store holds newer data: then the table has nothing to add, and takes nothing back."""
        return self.noted.end_us is not None and self.end_us < self.noted.end_us

    def fill(self, progress: Progress) -> Materialized:
        wanted = self.built.feature_set
        views: list[ViewOnline] = []
        sampled: dict[str, list[OnlineRow]] = {}
        for done, view in enumerate(wanted.views):
            name = view_name(view, wanted)
            progress(done, len(wanted.views), name)
            with self.built.latest(view, self._reach(view)) as latest:
                views.append(self._fill_view(latest, view, name, _part(progress, done, len(wanted.views), name)))
                sampled[name] = latest.sample(SAMPLED_ROWS)
        progress(len(wanted.views), len(wanted.views), "compare with the table")
        sample = Sample(self.end_us, sampled, {name: absent_keys(found, _SEED) for name, found in sampled.items()})
        return Materialized(wanted, self.end_us, tuple(views), sample, tuple(find_mismatches(self.rows, sample)))

    def _fill_view(self, latest: LatestRows, view: FeatureView, name: str, progress: Progress) -> ViewOnline:
        reach, content = self._reach(view), latest.content()
        since_us = self._held_until(view, name, content)
        outdated_us = self.noted.outdated_until_us
        if since_us is None and self.noted.end_us is not None:
            outdated_us = max(self.noted.end_us, outdated_us or self.noted.end_us)
            note_outdated(self.rows, self.built.feature_set, outdated_us)
        written = 0
        for batch in latest.batches(reach.after_us if since_us is None else since_us):
            self.rows.write(name, batch)
            written += len(batch)
            progress(written, content.rows)
        if outdated_us is not None:
            self._replace_outdated(latest, name, reach, outdated_us)
        past = (
            content if reach.until_us == self.end_us else self.built.content(view, Reach(reach.after_us, self.end_us))
        )
        return ViewOnline(name, content.rows, written, *reach, content.digest, past.digest)

    def _reach(self, view: FeatureView) -> Reach:
        return Reach(self.end_us - microseconds(view.ttl) - 1, self.until_us)

    def _held_until(self, view: FeatureView, name: str, content: Content) -> int | None:
        """Up to when the store holds what this table says; None when it never did, or no longer does.

        Transactions that arrived since may lie between the end of the data then and the moment they were written.
        """
        before, end_us = self.noted.views.get(name), self.noted.end_us
        if before is None or end_us is None:
            return None
        reach = self._reach(view)
        if self.is_older:
            return reach.until_us
        all_of_it = content if before.reach == reach else self.built.content(view, before.reach)
        if all_of_it.digest == before.digest:
            return max(before.until_us, reach.after_us)
        past = self.built.content(view, Reach(before.after_us, end_us))
        return max(end_us, reach.after_us) if past.digest == before.past_digest else None

    def _replace_outdated(self, latest: LatestRows, name: str, reach: Reach, until_us: int) -> None:
        """Take away what other data wrote: rows up to `until_us` that the table does not have. A stream's are later."""
        outdated = {
            key
            for batch in self.rows.held(name)
            for key in latest.lacking([(key, moment) for key, moment in batch if moment <= until_us])
        }
        self.rows.remove(name, list(outdated), until_us)
        for batch in latest.batches(reach.after_us):
            if again := [row for row in batch if row.key in outdated]:
                self.rows.write(name, again)


def _part(progress: Progress, before: int, views: int, name: str) -> Progress:
    """The progress of one view within that of all."""

    def tell(done: float, total: float, doing: str = "") -> None:
        progress(before + done / total, views, name)

    return tell
