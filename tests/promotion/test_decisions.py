from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sentinel.artifacts import GateReport
from sentinel.errors import RecordInvalid
from sentinel.promotion.decisions import append_decision, decide_promotion, read_chain


def report(passed: bool, failed: tuple[str, ...] = ()) -> GateReport:
    return GateReport(path="gates", sha256="0" * 64, run_id="r", passed=passed, failed=failed)


@pytest.mark.parametrize(
    ("passed", "failed", "review", "outcome"),
    [
        (True, (), "auto", "promoted"),
        (True, (), "manual", "waiting"),
        (False, ("latency",), "auto", "rejected"),
        (False, ("latency",), "manual", "rejected"),
        (True, ("latency",), "auto", "rejected"),
        (False, (), "auto", "rejected"),
    ],
)
def test_decision_table(passed: bool, failed: tuple[str, ...], review: str, outcome: str) -> None:
    assert decide_promotion(report(passed, failed), review).outcome == outcome  # type: ignore[arg-type]


def test_rejection_names_the_failed_gates() -> None:
    assert "latency, onnx_parity" in decide_promotion(report(False, ("latency", "onnx_parity")), "auto").reason


@given(some.lists(some.dictionaries(some.text(max_size=5), some.text(max_size=5) | some.integers()), max_size=6))
def test_chain_gives_back_what_was_appended(tmp_path_factory: pytest.TempPathFactory, said: list[dict]) -> None:
    file = tmp_path_factory.mktemp("chain") / "chain.jsonl"

    entries = [append_decision(file, decision) for decision in said]

    assert read_chain(file) == entries
    assert [{**entry, "before": None} for entry in entries] == [{**decision, "before": None} for decision in said]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    file = tmp_path / "decisions" / "x.jsonl"
    for number in range(3):
        append_decision(file, {"outcome": "promoted", "version": str(number)})
    return file


@pytest.mark.parametrize("line", [0, 1])
def test_altered_or_removed_entry_breaks_the_chain(chain: Path, line: int) -> None:
    lines = chain.read_bytes().splitlines(keepends=True)

    chain.write_bytes(b"".join([*lines[:line], lines[line].replace(b"promoted", b"rejected"), *lines[line + 1 :]]))
    with pytest.raises(RecordInvalid, match=f"x.jsonl:{line + 2}"):
        read_chain(chain)

    chain.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(RecordInvalid, match=f"x.jsonl:{line + 1}"):
        append_decision(chain, {})


def test_line_that_a_killed_writer_left_unfinished_is_dropped(chain: Path) -> None:
    whole = read_chain(chain)
    with chain.open("ab") as file:
        file.write(b'{"outcome":"prom')

    assert read_chain(chain) == whole
    append_decision(chain, {"outcome": "rejected"})
    assert [entry["outcome"] for entry in read_chain(chain)] == ["promoted"] * 3 + ["rejected"]
