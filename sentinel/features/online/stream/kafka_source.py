"""Events of a Kafka topic, one JSON object a message; the offsets are ours, in the journal, not the broker's."""

# confluent_kafka carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from sentinel.errors import ServiceUnavailable
from sentinel.features.online.stream.sources import BATCH, PATIENCE_S, Batch

_TIMEOUT_S = 10.0


class KafkaTopic:
    """`drain`: end at what every partition has now, instead of waiting for more."""

    def __init__(self, servers: str, topic: str, *, drain: bool) -> None:
        self.name = f"kafka topic {topic}"
        self._servers = servers
        self._topic = topic
        self._drain = drain
        self._consumer: Any = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "sentinel",  # never joined: partitions are assigned by us
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": False,
                "socket.timeout.ms": int(_TIMEOUT_S * 1000),
                "log_level": 2,  # a broker that does not answer is told of in a sentence, not twenty times a second
            }
        )

    def batches(self, position: Any) -> Iterator[Batch]:
        offsets: dict[str, int] = dict(cast("dict[str, int]", position or {}))
        partitions = self._partitions()
        self._consumer.assign(
            [TopicPartition(self._topic, number, offsets.get(str(number), OFFSET_BEGINNING)) for number in partitions]
        )
        ends = self._ends(partitions) if self._drain else {}
        while True:
            messages = cast("list[Message]", self._consumer.consume(BATCH, PATIENCE_S))
            lines: list[tuple[str, bytes]] = []
            for message in messages:
                self._require_sound(message)
                partition, offset = cast("int", message.partition()), cast("int", message.offset())
                offsets[str(partition)] = offset + 1
                lines.append((f"partition {partition} offset {offset}", message.value() or b""))
            if not lines and self._drain and all(offsets.get(number, 0) >= end for number, end in ends.items()):
                return
            yield Batch(lines, dict(offsets))

    def close(self) -> None:
        self._consumer.close()

    def _partitions(self) -> list[int]:
        try:
            found = self._consumer.list_topics(self._topic, timeout=_TIMEOUT_S).topics[self._topic]
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from error
        if found.error is not None:
            raise self._unavailable(found.error)
        return sorted(found.partitions)

    def _ends(self, partitions: list[int]) -> dict[str, int]:
        """The offset after the last message of each partition that has one."""
        ends: dict[str, int] = {}
        for number in partitions:
            try:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, number), timeout=_TIMEOUT_S
                )
            except KafkaException as error:
                raise self._unavailable(error.args[0]) from error
            if high > low:
                ends[str(number)] = high
        return ends

    def _require_sound(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            raise self._unavailable(error)

    def _unavailable(self, error: KafkaError) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"The Kafka topic {self._topic} at {self._servers} cannot be read: {error.str()}. Start the brokers, or "
            "mend --kafka-topic and --kafka-servers. The position is kept: nothing is lost."
        )
