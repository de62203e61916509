"""A data set's stream, opened where it was left: journal, windows, store, and the schema of its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager

from sentinel.errors import ConfigInvalid
from sentinel.features.online.rows import OnlineRows
from sentinel.features.online.store import SOME_CONFIGURATION, open_online
from sentinel.features.online.stream.base import base_of, load_base
from sentinel.features.online.stream.clock import Clock, wall_clock_us
from sentinel.features.online.stream.ingest import Counts, Stream, only_one
from sentinel.features.online.stream.journal import Journal
from sentinel.features.online.stream.online_sets import OnlineSet, event_fields, online_sets
from sentinel.features.online.stream.schema import EventSchema
from sentinel.features.spec import FeatureSet, microseconds
from sentinel.paths import Paths
from sentinel.progress import Progress, silent

RENEWED_S = 10.0  # how often the store is asked which feature sets are online


class OpenStream:
    """What is open of a data set. `letters`: the file of rejected events; `fields`: those of its events."""

    def __init__(
        self, paths: Paths, name: str, rows: OnlineRows, online: Sequence[OnlineSet], wall_us: Callable[[], int],
        progress: Progress = silent,
    ) -> None:  # fmt: skip
        self._paths = paths
        self._name = name
        self._rows = rows
        self._wall_us = wall_us
        self._progress = progress
        self._asked_at = time.monotonic()
        self._online = list(online)
        self._fields = event_fields(online)
        self.schema = EventSchema(self._fields)
        self.letters = paths.feast(name) / "dead_letters.jsonl"
        self.journal = Journal(
            paths.feast(name) / "stream.db", tuple(self._fields.keys), has_recorded_at=self._fields.has_recorded_at
        )
        self._stream = self._start(None)

    @property
    def counts(self) -> Counts:
        return self._stream.counts

    @property
    def sets(self) -> list[FeatureSet]:
        """What is kept up to date, the set with the newest data first."""
        return [each.feature_set for each in self._online]

    def current(self) -> Stream:
        """The stream into all sets that are online by now: a run may have brought another one, or newer data."""
        if time.monotonic() - self._asked_at >= RENEWED_S:
            self._asked_at = time.monotonic()
            online = online_sets(self._paths, self._name, self._rows)
            if online != self._online:
                if event_fields(online) != self._fields:
                    raise ConfigInvalid(
                        "Features with other keys or columns were brought online, so that events are to look "
                        "otherwise. Start the stream again: it goes on where it is."
                    )
                self._online = online
                self._stream = self._start(self._stream.counts)
        return self._stream

    def close(self) -> None:
        self.journal.close()

    def _start(self, counts: Counts | None) -> Stream:
        newest = self._online[0]
        base = base_of(self._paths, self._name, newest.table, newest.feature_set)
        load_base(self.journal, base, self.sets, progress=self._progress)
        longest = max(microseconds(view.ttl) for wanted in self.sets for view in wanted.views)
        clock = Clock(max(each.end_us for each in self._online), longest, self._wall_us)
        stream = Stream(self.journal, self._rows, self.sets, clock, counts)
        stream.catch_up({each.feature_set.hash: each.until_us for each in self._online})
        return stream


@contextmanager
def open_stream(
    paths: Paths, name: str, redis_url: str | None, *, where: str = SOME_CONFIGURATION,
    wall_us: Callable[[], int] = wall_clock_us, progress: Progress = silent,
) -> Generator[OpenStream]:  # fmt: skip
    """Ready for the next event: the store holds what the table and the journal say.

    Raises ConfigInvalid when nothing is online or another process streams, ServiceUnavailable without the store.
    """
    with ExitStack() as stack:
        stack.enter_context(only_one(paths.feast(name) / "stream.lock", "streams into"))
        rows = stack.enter_context(closing(open_online(paths, name, redis_url, where=where)))
        opened = OpenStream(paths, name, rows, online_sets(paths, name, rows), wall_us, progress)
        yield stack.enter_context(closing(opened))
