"""Events of a real Redis stream and of a Kafka topic (librdkafka's own mock brokers), through the real command."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest
import redis
from confluent_kafka import Producer

from tests.features.online.stream.project import StreamProject

TOPIC = "transactions"


def test_a_redis_stream_goes_on_where_a_killed_process_was(on_redis: StreamProject, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for line in on_redis.events[:100]:
            client.xadd("events", {"event": line})
        process = on_redis.start("ingest-stream", "--redis-stream", "events", stdout=subprocess.DEVNULL)
        on_redis.wait_for_batch()
        process.kill()
        process.wait()
        for line in on_redis.events[100:]:
            client.xadd("events", {"event": line})
        client.xadd("events", {"event": "no event"})
    said = on_redis.drain("--redis-stream", "events")
    assert said["duplicates"] == 0 and said["rejected"] == 1  # the position is ours: nothing is read twice
    assert on_redis.drain("--redis-stream", "events")["read"] == 0
    assert on_redis.mismatches() == {}


def test_a_live_stream_ends_with_its_counts_when_it_is_interrupted(on_redis: StreamProject, redis_url: str) -> None:
    process = on_redis.start("ingest-stream", "--redis-stream", "events", "--json", stdout=subprocess.PIPE)
    with redis.Redis.from_url(redis_url) as client:
        client.xadd("events", {"event": on_redis.events[0]})
        on_redis.wait_for_batch()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and json.loads(said)["read"] == 1


@pytest.fixture
def broker() -> Iterator[tuple[Producer, str]]:
    """A producer that brings its own brokers, and their address."""
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "ignored"})
    address = next(iter(producer.list_topics(timeout=30).brokers.values()))
    yield producer, f"{address.host}:{address.port}"
    producer.flush(30)


def test_a_kafka_topic_is_read_once_from_all_its_partitions(
    embedded: StreamProject, broker: tuple[Producer, str]
) -> None:
    producer, address = broker
    half = len(embedded.events) // 2
    for part in (embedded.events[:half], embedded.events[half:]):
        for line in part:
            key = str(json.loads(line)["transaction_id"])  # a label follows its transaction in the same partition
            producer.produce(TOPIC, line, key)
        producer.flush(30)
        said = embedded.drain("--kafka-topic", TOPIC, "--kafka-servers", address)
        assert said["read"] == len(part) and said["rejected"] == said["duplicates"] == 0
    assert embedded.mismatches() == {}
