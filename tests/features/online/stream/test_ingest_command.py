"""`sentinel features ingest-stream`, run as a process: what it says, what it writes, and what a kill leaves."""

from __future__ import annotations

import json
import random
import subprocess
import time

from tests.features.online.stream.project import StreamProject


def test_streamed_days_end_in_the_rows_of_an_offline_build(streaming: StreamProject) -> None:
    said = streaming.ingest(streaming.events)
    assert said["read"] == len(streaming.events)
    assert said["transactions"] + said["labels"] == said["read"] and said["labels"] > 0
    assert said["rejected"] == said["duplicates"] == 0 and said["dead_letters"] is None
    again = streaming.ingest(streaming.events)
    assert again["duplicates"] == len(streaming.events) and again["transactions"] == again["labels"] == 0
    assert streaming.mismatches() == {}


def test_what_is_no_event_goes_to_the_dead_letters_with_its_reason_and_place(embedded: StreamProject) -> None:
    good = next(line for line in embedded.events if b'"transaction"' in line)
    transaction = {
        "type": "transaction", "transaction_id": 90_000, "event_timestamp": "2026-02-09T23:00:00Z", "customer_id": 1,
        "merchant_id": 2, "amount_minor": 5,
    }  # fmt: skip
    label = {"type": "label", "transaction_id": 90_001, "is_fraud": True, "label_available_at": "2026-02-09T23:00:00Z"}
    bad = {
        "unknown field `colour`": {**transaction, "colour": "red"},
        "Expected `int`, got `str`": {**transaction, "customer_id": "1"},
        "missing required field `amount_minor`": {k: v for k, v in transaction.items() if k != "amount_minor"},
        "timezone": {**transaction, "event_timestamp": "2026-02-09T23:00:00"},
        "in the future": {**transaction, "event_timestamp": "2999-01-01T00:00:00Z"},
        "unknown transaction": label,
        "Invalid value 'refund'": {"type": "refund"},
        "known already with other content": {**json.loads(good), "amount_minor": 1},
    }
    lines = [good, *(json.dumps(event).encode() for event in bad.values()), b"{", b"\xff\xfe"]
    said = embedded.ingest(lines)
    assert said["transactions"] + said["labels"] == 1 and said["rejected"] == len(bad) + 2
    file = embedded.project.paths.home / said["dead_letters"]
    letters = [json.loads(line) for line in file.read_text().splitlines()]
    for (reason, event), letter in zip(bad.items(), letters, strict=False):
        assert reason in letter["reason"] and json.loads(letter["line"]) == event
    assert [letter["position"] for letter in letters] == [f"line {n}" for n in range(2, len(lines) + 1)]
    assert embedded.ingest(lines)["duplicates"] == 1
    assert len(file.read_text().splitlines()) == len(letters)  # sent again, told once


def test_killed_anywhere_and_sent_again_loses_and_doubles_nothing(streaming: StreamProject) -> None:
    drawn = random.Random(5)
    batches = [streaming.events[start : start + 60] for start in range(0, len(streaming.events), 60)]
    for _ in range(2):
        process = streaming.start("ingest-stream", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin is not None
        before = streaming.batches
        for batch in batches[: drawn.randint(1, 3)]:
            process.stdin.write(b"".join(line + b"\n" for line in batch))
            process.stdin.flush()
            before = streaming.wait_for_batch(before)
        process.stdin.write(b"".join(line + b"\n" for line in batches[3]))
        process.stdin.flush()
        time.sleep(drawn.random() / 5)  # somewhere in a batch: what the test is about
        process.kill()
        process.stdin.close()
        process.wait()
    streaming.ingest(streaming.events)
    assert streaming.mismatches() == {}


def test_the_replay_command_proves_equality_by_its_exit_code(embedded: StreamProject) -> None:
    process = embedded.start("replay", "--days", "2", "--json", stdout=subprocess.PIPE)
    said, _ = process.communicate(timeout=120)
    report = json.loads(said)
    assert process.returncode == 0 and report["vectors"] > 0
    assert report["mismatches"] == {"stale": 0, "late": 0, "ttl": 0, "code": 0, "type": 0}


def test_a_second_stream_and_a_missing_source_end_in_a_sentence(embedded: StreamProject) -> None:
    first = embedded.start("ingest-stream", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert first.stdin is not None
    first.stdin.write(embedded.events[0] + b"\n")
    first.stdin.flush()
    embedded.wait_for_batch()
    for options, code, sentence in (
        ((), 2, "streams into this data set already"),
        (("--kafka-topic", "x"), 2, "needs both"),
        (("--redis-stream", "x"), 2, "needs a Redis"),
    ):
        second = embedded.start("ingest-stream", *options, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, complained = second.communicate(timeout=120)
        assert second.returncode == code and sentence in complained.decode()
    first.stdin.close()
    assert first.wait(timeout=120) == 0
