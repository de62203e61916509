"""`sentinel features ingest-stream` and `replay`: new events into the online store, and the proof that they count."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session, remarks
from flows.cli.live import one_bar
from flows.environment import redis_url
from sentinel.errors import ConfigInvalid, RecordInvalid

if TYPE_CHECKING:
    from sentinel.features.online.replay import ReplayReport
    from sentinel.features.online.stream.opening import OpenStream
    from sentinel.features.online.stream.sources import Source

RedisOption = Annotated[
    str | None, typer.Option("--redis-stream", help="Read this stream of the configured Redis (services.redis_url).")
]
TopicOption = Annotated[str | None, typer.Option("--kafka-topic", help="Read this Kafka topic; with --kafka-servers.")]
ServersOption = Annotated[str | None, typer.Option("--kafka-servers", help="HOST:PORT of one or more Kafka brokers.")]
DaysOption = Annotated[float, typer.Option("--days", min=0.001, help="How many, counted back from the last event.")]
DrainOption = Annotated[
    bool, typer.Option("--drain", help="End when everything that is there now was read, instead of waiting for more.")
]


def ingest_stream(
    config: ConfigOption = None,
    redis_stream: RedisOption = None,
    kafka_topic: TopicOption = None,
    kafka_servers: ServersOption = None,
    drain: DrainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Keep the online store up to date: newline JSON from standard input, a Redis stream or a Kafka topic.

    Rejected events go to a dead-letter file, with reason and position. Interrupted or killed at any time, it goes on
    where it was.
    """
    session = open_session(config, as_json)
    from sentinel.features.online.stream.ingest import follow
    from sentinel.features.online.stream.opening import open_stream

    ours = session.config
    with (
        one_bar("stream") as progress,
        closing(_source(session, redis_stream, kafka_topic, kafka_servers, drain)) as source,
    ):
        opened = open_stream(
            session.paths, ours.name, redis_url(ours), where=ours.where("services.redis_url"), progress=progress
        )
        with opened as stream, _interruptible() as is_over:
            follow(stream.current, source, stream.schema, stream.journal, stream.letters, is_over)
            document = _document(session, source, stream)
    if as_json:
        session.answer(document)
    else:
        _tell(document)


def replay(config: ConfigOption = None, days: DaysOption = 7.0, as_json: JsonOption = False) -> None:
    """Stream the last days through the online path, and compare each vector read with its offline value, bit for bit.

    It works on a scratch store of the configured kind; what serves is not touched. Exit code 0: all are equal.
    """
    session = open_session(config, as_json)
    from sentinel.features.catalogue import newest_table
    from sentinel.features.online.replay import replay_table

    ours = session.config
    newest = newest_table(session.paths, ours.name, ours.columns, ours.features)
    if newest is None:
        raise ConfigInvalid(
            f"The features of {ours.name} were not built yet with this configuration and code, so there is nothing to "
            f"compare with. Run `sentinel run --config {ours.file}` first."
        )
    with one_bar("replay") as progress:
        report = replay_table(
            session.paths, ours.name, newest[0], redis_url(ours), length=timedelta(days=days),
            where=ours.where("services.redis_url"), progress=progress,
        )  # fmt: skip
    if as_json:
        session.answer(report.to_dict())
    else:
        _tell_replay(report)
    if not report.is_equal:
        raise typer.Exit(RecordInvalid.exit_code)


def _tell_replay(report: ReplayReport) -> None:
    answers.print(f"{report.vectors:,} vectors of the last {report.days:g} days, {report.values:,} values compared.")
    if report.is_equal:
        answers.print("Each was online, just before its transaction, what it is offline: equal bit for bit.")
        return
    from sentinel.features.online.mismatches import MEANING

    for cause, count in report.mismatches.items():
        if count:
            answers.print(f"[bold]{cause}[/] {count:,}: {MEANING[cause]}")
    for example in report.examples:
        remarks.print(f"{example['cause']}: transaction {example['transaction_id']}, {example['view']}", markup=False)
        remarks.print(f"  offline {example['offline']}\n  online  {example['online']}", markup=False)


def _source(
    session: Session, redis_stream: str | None, kafka_topic: str | None, kafka_servers: str | None, drain: bool
) -> Source:
    if (kafka_topic is None) != (kafka_servers is None):
        raise ConfigInvalid("A Kafka topic needs both --kafka-topic NAME and --kafka-servers HOST:PORT.")
    if redis_stream is not None and kafka_topic is not None:
        raise ConfigInvalid("One source at a time: give either --redis-stream or --kafka-topic.")
    if kafka_topic is not None and kafka_servers is not None:
        from sentinel.features.online.stream.kafka_source import KafkaTopic

        return KafkaTopic(kafka_servers, kafka_topic, drain=drain)
    if redis_stream is not None:
        from sentinel.features.online.stream.redis_source import RedisStream

        url, where = redis_url(session.config), session.config.where("services.redis_url")
        if url is None:
            raise ConfigInvalid(
                f'--redis-stream needs a Redis: write redis_url = "redis://HOST:PORT" under [services] in {where}.'
            )
        return RedisStream(url, redis_stream, drain=drain, where=where)
    from sentinel.features.online.stream.sources import StandardInput

    return StandardInput()


@contextmanager
def _interruptible() -> Generator[Callable[[], bool]]:
    """Let SIGINT and SIGTERM end the stream after the batch at hand."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _document(session: Session, source: Source, stream: OpenStream) -> dict[str, Any]:
    return {
        "source": source.name,
        **stream.counts.to_dict(),
        "dead_letters": session.paths.relative(stream.letters) if stream.counts.rejected else None,
        "feature_sets": [wanted.hash for wanted in stream.sets],
    }


def _tell(document: dict[str, Any]) -> None:
    answers.print(
        f"{document['read']:,} events read from {document['source']}: {document['transactions']:,} new transactions, "
        f"{document['labels']:,} labels, {document['duplicates']:,} known already, {document['rejected']:,} rejected."
    )
    answers.print(f"{document['rows']:,} rows written, for {len(document['feature_sets'])} feature sets.")
    if document["held_back"]:
        answers.print(f"{document['held_back']:,} entries wait until they are knowable; a later call writes them.")
    for reason, count in document["reasons"].items():
        remarks.print(f"rejected {count:,}: {reason}", markup=False)
    if document["dead_letters"]:
        remarks.print(f"The rejected events stand in {document['dead_letters']}, below the home folder.", markup=False)
