"""A data set's stream, opened where it was left: journal, windows, store, and the schema of its events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sentinel.features.online.rows import OnlineRows
from sentinel.features.online.store import open_online
from sentinel.features.online.stream.base import base_of, load_base
from sentinel.features.online.stream.clock import Clock, wall_clock_us
from sentinel.features.online.stream.engine import Engine
from sentinel.features.online.stream.ingest import Stream, only_one
from sentinel.features.online.stream.journal import Journal
from sentinel.features.online.stream.online_sets import OnlineSet, event_fields, online_sets
from sentinel.features.online.stream.schema import EventSchema
from sentinel.features.spec import FeatureSet, microseconds, view_name
from sentinel.paths import Paths
from sentinel.progress import Progress, silent


@dataclass(frozen=True)
class OpenStream:
    """`letters`: the file of rejected events. `sets`: what is kept up to date."""

    stream: Stream
    journal: Journal
    schema: EventSchema
    letters: Path
    sets: Sequence[FeatureSet]


@contextmanager
def open_stream(
    paths: Paths,
    name: str,
    redis_url: str | None,
    *,
    where: str,
    wall_us: Callable[[], int] = wall_clock_us,
    progress: Progress = silent,
) -> Generator[OpenStream]:
    """Ready for the next event: the store holds what the table and the journal say.

    Raises ConfigInvalid when nothing is online or another process streams, ServiceUnavailable without the store.
    """
    folder = paths.feast(name)
    with ExitStack() as stack:
        stack.enter_context(only_one(folder / "stream.lock", "streams into"))
        rows = stack.enter_context(closing(open_online(paths, name, redis_url, where=where)))
        online = online_sets(paths, name, rows)
        newest = online[0]
        fields = event_fields(online)
        journal = Journal(folder / "stream.db", tuple(fields.keys), has_recorded_at=newest.feature_set.has_recorded_at)
        stack.enter_context(closing(journal))
        sets = [each.feature_set for each in online]
        load_base(journal, base_of(paths, name, newest.table, newest.feature_set), sets, progress=progress)
        stream = _stream(journal, rows, online, wall_us)
        yield OpenStream(stream, journal, EventSchema(fields), folder / "dead_letters.jsonl", sets)


def _stream(journal: Journal, rows: OnlineRows, online: Sequence[OnlineSet], wall_us: Callable[[], int]) -> Stream:
    sets = [each.feature_set for each in online]
    longest = max(microseconds(view.ttl) for wanted in sets for view in wanted.views)
    engine = Engine(journal, [(wanted, view_names(wanted)) for wanted in sets])
    clock = Clock(max(each.end_us for each in online), longest, wall_us)
    stream = Stream(journal, engine, rows, sets, clock)
    stream.catch_up({each.feature_set.hash: each.until_us for each in online})
    return stream


def view_names(wanted: FeatureSet) -> dict[str, str]:
    """Of each view its name in the online store."""
    return {view.name: view_name(view, wanted) for view in wanted.views}
