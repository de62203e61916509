from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sentinel.artifacts import GateReport
from sentinel.errors import RecordInvalid
from sentinel.promotion import decisions
from sentinel.promotion.decisions import (
    append_decision,
    decide_promotion,
    head_of,
    read_chain,
    sentences_against_chain,
)
from sentinel.promotion.keys import create_keys, public_keys, signing_key


def report(passed: bool, failed: tuple[str, ...] = (), undecided: tuple[str, ...] = ()) -> GateReport:
    return GateReport(path="gates", sha256="0" * 64, run_id="r", passed=passed, failed=failed, undecided=undecided)


@pytest.mark.parametrize(
    ("passed", "failed", "undecided", "review", "outcome"),
    [
        (True, (), (), "auto", "promoted"),
        (True, (), (), "manual", "waiting"),
        (False, ("latency",), (), "auto", "rejected"),
        (False, ("latency",), (), "manual", "rejected"),
        (True, ("latency",), (), "auto", "rejected"),
        (False, (), (), "auto", "rejected"),
        (True, (), ("slices",), "auto", "waiting"),
        (True, ("latency",), ("slices",), "auto", "rejected"),
    ],
)
def test_decision_table(
    passed: bool, failed: tuple[str, ...], undecided: tuple[str, ...], review: str, outcome: str
) -> None:
    assert decide_promotion(report(passed, failed, undecided), review).outcome == outcome  # type: ignore[arg-type]


def test_rejection_names_the_failed_gates() -> None:
    assert "latency, onnx_parity" in decide_promotion(report(False, ("latency", "onnx_parity")), "auto").reason


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signer") / "keys"
    create_keys(folder)
    return folder


@settings(max_examples=25)
@given(some.lists(some.dictionaries(some.text(max_size=2), some.text(max_size=5) | some.integers()), max_size=4))
def test_chain_gives_back_what_was_appended(
    tmp_path_factory: pytest.TempPathFactory, keys: Path, said: list[dict[str, Any]]
) -> None:
    file = tmp_path_factory.mktemp("chain") / "chain.jsonl"

    entries = [append_decision(file, decision, signing_key(keys)) for decision in said]

    assert read_chain(file) == entries
    assert [{**entry, **decision} for entry, decision in zip(entries, said, strict=True)] == entries
    assert sentences_against_chain(file, public_keys(keys)) == []


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> tuple[bytes, bytes]:
    """Chain and head of three decisions."""
    file = tmp_path_factory.mktemp("written") / "x.jsonl"
    for number in range(3):
        append_decision(file, {"outcome": "promoted", "version": str(number)}, signing_key(keys))
    return file.read_bytes(), head_of(file).read_bytes()


@pytest.fixture
def chain(written: tuple[bytes, bytes], tmp_path: Path) -> Path:
    file = tmp_path / "decisions" / "x.jsonl"
    file.parent.mkdir()
    file.write_bytes(written[0])
    head_of(file).write_bytes(written[1])
    return file


def test_one_changed_byte_anywhere_is_told_with_its_file(chain: Path, keys: Path, written: tuple[bytes, bytes]) -> None:
    publics = public_keys(keys)
    for file, whole, step in ((chain, written[0], 5), (head_of(chain), written[1], 3)):
        for position in {*range(0, len(whole), step), len(whole) - 1}:
            file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            assert any(str(file) in sentence for sentence in sentences_against_chain(chain, publics)), position
        for altered in (whole[:-1], whole + b"\n", whole + b" ", b"", b"\xff\n"):
            file.write_bytes(altered)
            assert any(str(file) in sentence for sentence in sentences_against_chain(chain, publics)), altered[-3:]
        file.write_bytes(whole)
    assert sentences_against_chain(chain, publics) == []


def forged(lines: list[bytes], keys: Path) -> bytes:
    """A decision that fits behind the last one, by a key of one's own."""
    entry = decisions._signed({"outcome": "promoted", "before": decisions.sha256_bytes(lines[-1])}, signing_key(keys))
    return decisions.canonical_json(entry).encode()


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        (lambda lines, stranger: lines[1:], "x.jsonl:1: this decision does not follow"),
        (lambda lines, stranger: [lines[0], lines[2]], "x.jsonl:2: this decision does not follow"),
        (lambda lines, stranger: lines[:-1], "some were cut off"),
        (lambda lines, stranger: lines[:1], "some were cut off"),
        (lambda lines, stranger: [], "some were cut off"),
        (lambda lines, stranger: [lines[1], lines[0], lines[2]], "x.jsonl:1: this decision does not follow"),
        (lambda lines, stranger: [*lines, lines[2]], "x.jsonl:4: this decision does not follow"),
        (lambda lines, stranger: [lines[0], lines[0], *lines[1:]], "x.jsonl:2: this decision does not follow"),
        (lambda lines, stranger: [*lines, forged(lines, stranger)], "x.jsonl:4: the signature .* of no trusted key"),
        (lambda lines, stranger: [*lines[:2], forged(lines[:2], stranger)], "x.jsonl:3: the signature"),
        (lambda lines, stranger: [*lines, b'{"a":' * 5000], "x.jsonl:4: this line is no entry"),
    ],
)  # fmt: skip
def test_removed_moved_inserted_cut_off_and_foreign_entries_are_told_and_stop_the_next_decision(
    chain: Path, keys: Path, tmp_path: Path, tampering: Callable[[list[bytes], Path], list[bytes]], said: str
) -> None:
    lines = tampering(chain.read_bytes().splitlines(), tmp_path / "stranger")
    chain.write_bytes(b"".join(line + b"\n" for line in lines))
    before = chain.read_bytes(), head_of(chain).read_bytes()

    told = "\n".join(sentences_against_chain(chain, public_keys(keys)))
    assert re.search(said, told), told
    with pytest.raises(RecordInvalid, match=r"x\.jsonl"):
        append_decision(chain, {"outcome": "rejected"}, signing_key(keys))
    assert (chain.read_bytes(), head_of(chain).read_bytes()) == before


def test_altered_signature_within_is_told_though_it_is_in_nobodys_way(chain: Path, keys: Path) -> None:
    """Links and head can be written anew by anybody; signatures cannot."""
    lines = chain.read_bytes().splitlines()
    entry = json.loads(lines[2]) | {"outcome": "rejected"}
    chain.write_bytes(b"\n".join([*lines[:2], decisions.canonical_json(entry).encode()]) + b"\n")
    told = sentences_against_chain(chain, public_keys(keys))
    assert any("x.jsonl:3: the signature" in sentence for sentence in told)


def test_chain_of_another_model_is_not_taken_for_this_one(chain: Path, keys: Path) -> None:
    other = chain.with_name("other.jsonl")
    chain.rename(other)
    head_of(chain).rename(head_of(other))
    assert any("speaks of the chain 'x'" in sentence for sentence in sentences_against_chain(other, public_keys(keys)))


@pytest.mark.parametrize("lost", ["chain", "head"])
def test_lost_half_is_told_and_both_lost_is_no_chain(chain: Path, keys: Path, lost: str) -> None:
    (chain if lost == "chain" else head_of(chain)).unlink()
    assert sentences_against_chain(chain, public_keys(keys)) != []
    with pytest.raises(RecordInvalid):
        append_decision(chain, {}, signing_key(keys))

    chain.unlink(missing_ok=True)
    head_of(chain).unlink(missing_ok=True)
    assert sentences_against_chain(chain, public_keys(keys)) == []


class Killed(BaseException):
    pass


def test_writer_killed_at_every_step_leaves_a_chain_that_the_next_one_goes_on_with(
    tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, private, publics = tmp_path / "x.jsonl", signing_key(keys), public_keys(keys)
    write_head = decisions._write_head

    def killed(*_: Any) -> None:
        raise Killed

    for number in range(3):
        monkeypatch.setattr(decisions, "_write_head", killed if number else write_head)
        if number == 1:  # the entry is written, the head is not
            with pytest.raises(Killed):
                append_decision(file, {"number": number}, private)
            assert sentences_against_chain(file, publics) == []
        elif number == 2:  # half of an entry is written
            with file.open("ab") as half:
                half.write(b'{"number":2')
            assert [entry["number"] for entry in read_chain(file)] == [0, 1]
            (told,) = sentences_against_chain(file, publics)
            assert f"{file}:3: the last line is cut short" in told
        monkeypatch.setattr(decisions, "_write_head", write_head)
        if number != 1:
            append_decision(file, {"number": number}, private)

    assert [entry["number"] for entry in read_chain(file)] == [0, 1, 2]
    assert sentences_against_chain(file, publics) == []


def test_first_writer_killed_before_the_head_is_not_mistaken_for_a_cut_off_chain(
    tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, private, publics = tmp_path / "x.jsonl", signing_key(keys), public_keys(keys)
    write_head, calls = decisions._write_head, list[int]()

    def killed_at_the_second(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        write_head(*arguments)

    monkeypatch.setattr(decisions, "_write_head", killed_at_the_second)
    with pytest.raises(Killed):
        append_decision(file, {"number": 0}, private)
    assert sentences_against_chain(file, publics) == []
    append_decision(file, {"number": 1}, private)
    assert [entry["number"] for entry in read_chain(file)] == [0, 1]
    assert sentences_against_chain(file, publics) == []


def test_retired_key_still_verifies_what_it_signed(tmp_path: Path) -> None:
    keys, file = tmp_path / "keys", tmp_path / "x.jsonl"
    append_decision(file, {"number": 0}, signing_key(keys))
    (keys / "signing.key").unlink()
    (keys / "signing.pub").rename(keys / "retired.pub")
    append_decision(file, {"number": 1}, signing_key(keys))

    assert sentences_against_chain(file, public_keys(keys)) == []
    assert len(sentences_against_chain(file, [keys / "signing.pub"])) == 1
