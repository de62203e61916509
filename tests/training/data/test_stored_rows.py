"""Rows in a file are the rows in memory, to the bit, and nothing is left running or mapped for them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.errors import DiskFull
from sentinel.training.data.rows import CPU, ResidentRows, Rows
from sentinel.training.data.stored_rows import StoredRows, store_rows

ROWS = 20_000  # more than are gathered at once


def some_rows(count: int = ROWS, width: int = 5, seed: int = 0) -> Rows:
    random = torch.Generator().manual_seed(seed)
    derived = torch.randn((count, width), generator=random)
    derived[::7, 1] = torch.nan
    codes = torch.randint(0, 500, (count, 2), generator=random)
    return Rows(derived, codes, (torch.rand(count, generator=random) < 0.1).float())


def stored(rows: Rows, folder: Path, block: int = 500) -> StoredRows:
    blocks = (rows.take(part) for part in torch.arange(len(rows)).split(block))
    store_rows(folder / "rows.arrow", blocks, len(rows))
    return StoredRows(folder / "rows.arrow", CPU)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return some_rows()


@pytest.fixture(scope="module")
def streamed(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> StoredRows:
    return stored(rows, tmp_path_factory.mktemp("rows"))


def assert_same(found: Rows, expected: Rows) -> None:
    assert found.derived.numpy().tobytes() == expected.derived.numpy().tobytes()  # NaN included
    assert torch.equal(found.labels, expected.labels)
    assert (found.categorical is None) == (expected.categorical is None)
    if found.categorical is not None and expected.categorical is not None:
        assert found.categorical.dtype == torch.int64 and torch.equal(found.categorical, expected.categorical)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000), length=st.integers(1, 30_000), size=st.one_of(st.integers(1, 64), st.just(9000))
)  # fmt: skip
def test_the_same_order_gives_the_same_blocks(
    rows: Rows, streamed: StoredRows, seed: int, length: int, size: int
) -> None:
    order = torch.randint(0, ROWS, (min(length, 300 * size),), generator=torch.Generator().manual_seed(seed))
    pairs = zip(streamed.blocks(order, size), ResidentRows(rows, CPU).blocks(order, size), strict=True)
    for found, expected in pairs:
        assert_same(found, expected)


def test_blocks_stay_what_they_were_when_the_next_ones_come(rows: Rows, streamed: StoredRows) -> None:
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    for found, positions in zip(list(streamed.blocks(order, 4096)), order.split(4096), strict=True):
        assert_same(found, rows.take(positions))


def test_rows_are_taken_in_the_order_asked_for(rows: Rows, streamed: StoredRows) -> None:
    positions = torch.tensor([ROWS - 1, 0, 3, 3, 12_345])
    assert_same(streamed.take(positions), rows.take(positions))
    assert torch.equal(streamed.labels, rows.labels) and len(streamed) == ROWS


def test_rows_without_categories(tmp_path: Path) -> None:
    rows = some_rows(30)
    rows = Rows(rows.derived, None, rows.labels)
    assert_same(stored(rows, tmp_path, block=8).take(torch.arange(30)), rows)


def threads_ahead() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rows-ahead")]


def test_thread_ends_with_an_iterator_that_is_abandoned(streamed: StoredRows) -> None:
    blocks = streamed.blocks(torch.arange(ROWS), 100)
    next(blocks)
    assert len(threads_ahead()) == 1
    del blocks
    assert not threads_ahead()


def test_thread_ends_when_the_consumer_fails(streamed: StoredRows) -> None:
    def consume() -> None:
        for _ in streamed.blocks(torch.arange(ROWS), 100):
            raise RuntimeError("a step failed")

    with pytest.raises(RuntimeError, match="a step failed"):
        consume()
    assert not threads_ahead()


def test_what_fails_ahead_fails_where_the_rows_are_used(streamed: StoredRows) -> None:
    with pytest.raises(IndexError):
        list(streamed.blocks(torch.tensor([ROWS]), 100))
    assert not threads_ahead()


def test_unfinished_iterator_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    stored(some_rows(), tmp_path)
    code = (
        "import sys, torch; from pathlib import Path; from sentinel.training.data.stored_rows import StoredRows\n"
        "rows = StoredRows(Path(sys.argv[1]), torch.device('cpu')); blocks = rows.blocks(torch.arange(20000), 10)\n"
        "next(blocks); kept = [blocks]; kept.append(kept); raise SystemExit(3)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "rows.arrow"], timeout=120, check=False)
    assert done.returncode == 3


def test_file_is_refused_where_the_disk_has_no_room(tmp_path: Path) -> None:
    rows = some_rows(10)
    with pytest.raises(DiskFull, match=r"rows\.arrow needs .* MB"):
        store_rows(tmp_path / "rows.arrow", iter([rows]), 10**15)
    assert not list(tmp_path.iterdir())


def test_table_larger_than_the_limit_trains_to_the_same_weights_within_it(tmp_path: Path) -> None:
    """`peak` is the kernel's figure of what the process grew by while it wrote, read and trained."""
    resident, streaming = (_trained_in_a_process(tmp_path, kind) for kind in ("resident", "stored"))
    assert streaming["weights"] == resident["weights"]
    assert streaming["table"] > streaming["limit"]
    assert streaming["peak"] < streaming["limit"] < resident["peak"]


def _trained_in_a_process(folder: Path, kind: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.training.data.larger_than_memory", kind, str(folder)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True).stdout
    return json.loads(said.splitlines()[-1])


def test_pages_of_the_file_are_let_go(rows: Rows, streamed: StoredRows) -> None:
    list(streamed.blocks(torch.arange(ROWS), 1000))
    mapped = _resident_kb_of("rows.arrow")
    assert mapped and sum(mapped) == 0
    np.testing.assert_array_equal(streamed.take(torch.arange(3)).labels, rows.labels[:3])


def _resident_kb_of(name: str) -> list[int]:
    """What this process holds of each mapping of a file."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    of_file = [number for number, line in enumerate(lines) if line.endswith(name)]
    return [int(next(line for line in lines[number:] if line.startswith("Rss:")).split()[1]) for number in of_file]
