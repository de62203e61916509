"""A part read block by block is the part read at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sentinel.artifacts import FeatureTable
from sentinel.errors import TrainingFailed
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs, Vocabulary
from sentinel.training.data import splits as splits_module
from sentinel.training.data.reading import open_rows, score_part
from sentinel.training.data.rows import BLOCK, CPU, ResidentRows, Rows, make_rows
from sentinel.training.data.source import LEAST_ROWS_OF_A_VALUE, MOST_VALUES, Source, open_source
from sentinel.training.data.splits import split
from sentinel.training.data.stored_rows import StoredRows
from sentinel.training.device.memory import MemoryWatch
from sentinel.training.judging.logistic import LogisticBaseline
from tests.model.raw import features_table
from tests.training.conftest import SETTINGS, TIMES, store_table

ROWS = 40_000  # the training part has more than a block


class NoRoom(MemoryWatch):
    def fits(self, rows: int, derived: int, categorical: int) -> bool:
        return False


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    home = tmp_path_factory.mktemp("home")
    table: FeatureTable = store_table(home, features_table(ROWS))
    return open_source(table, split(table, TIMES, home=home, out=home / "splits"), home)


def at_once(source: Source) -> pa.Table:
    """The training part with all its columns, found by its borders in the file."""
    part, table = source.splits["train"], pq.read_table(source.table)
    start, end = (np.datetime64(part[name][:19]) for name in ("start", "end"))
    moments = table["event_timestamp"].to_numpy()
    return table.filter(pa.array((moments >= start) & (moments < end)))


@pytest.fixture(scope="module")
def inputs(source: Source) -> ModelInputs:
    return source.inputs()


@pytest.fixture(scope="module")
def derive(source: Source, inputs: ModelInputs) -> DerivedFeatures:
    return DerivedFeatures(inputs, source.feature_set, float(source.labels("train").mean()))


@pytest.fixture(scope="module")
def whole(source: Source, inputs: ModelInputs, derive: DerivedFeatures) -> Rows:
    return make_rows(at_once(source), inputs, derive)


def test_blocks_are_the_part_in_the_tables_order(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits_module, "READ_ROWS", 999)
    table = at_once(source)
    blocks = list(source.blocks("train", table.column_names))
    assert len(blocks) > 5 and max(block.num_rows for block in blocks) <= 999
    assert pa.concat_tables(blocks).equals(table)
    assert np.array_equal(source.labels("train"), table["is_fraud"].to_numpy())


def test_vocabulary_counts_all_blocks(source: Source, inputs: ModelInputs) -> None:
    column = at_once(source)["channel"]
    assert inputs.categorical == (Vocabulary.from_column("channel", column, LEAST_ROWS_OF_A_VALUE, MOST_VALUES),)


def test_rows_at_some_positions(source: Source) -> None:
    columns = ["transaction_id", "customer_id"]
    positions = np.array([7, 0, 9_000, 3, 3])
    expected = pa.concat_tables(list(source.blocks("train", columns))).take(np.sort(positions))
    assert source.rows("train", columns, positions).equals(expected)


@pytest.mark.parametrize(("watch", "kind"), [(MemoryWatch, ResidentRows), (NoRoom, StoredRows)])
def test_rows_are_the_same_wherever_they_lie(
    source: Source, inputs: ModelInputs, derive: DerivedFeatures, whole: Rows, tmp_path: Path,
    watch: type[MemoryWatch], kind: type,
) -> None:  # fmt: skip
    rows = open_rows(source, "train", inputs, derive, watch(SETTINGS, CPU), tmp_path)
    assert isinstance(rows, kind) and len(rows) == len(whole) > BLOCK
    assert torch.equal(rows.labels, whole.labels)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    for block, positions in zip(rows.blocks(order, 1000), order.split(1000), strict=True):
        expected = whole.take(positions)
        assert block.derived.numpy().tobytes() == expected.derived.numpy().tobytes()
        assert block.categorical is not None and expected.categorical is not None
        assert torch.equal(block.categorical, expected.categorical) and torch.equal(block.labels, expected.labels)


def test_what_is_fitted_before_the_first_step_does_not_know_where_rows_lie(
    source: Source, inputs: ModelInputs, derive: DerivedFeatures, whole: Rows, tmp_path: Path
) -> None:
    stored = open_rows(source, "train", inputs, derive, NoRoom(SETTINGS, CPU), tmp_path)
    few = whole.take(torch.arange(100))
    of_whole, of_stored = (LogisticBaseline(rows, inputs, 3, 1).probability(few) for rows in (whole, stored))
    assert np.array_equal(of_whole, of_stored)


def test_held_out_rows_are_scored_block_by_block(
    source: Source, inputs: ModelInputs, derive: DerivedFeatures, whole: Rows
) -> None:
    sizes: list[int] = []

    def amount(rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        sizes.append(len(rows))
        return rows.derived[:, 0].double().numpy()

    table, scores = score_part(source, "train", inputs, derive, {"amount": amount})
    assert table.column_names == list(source.described_by)
    assert table.equals(at_once(source).select(table.column_names))
    assert np.array_equal(scores["amount"], whole.derived[:, 0].double().numpy())
    assert max(sizes) == BLOCK


def test_reading_stops_when_memory_runs_out(
    source: Source, inputs: ModelInputs, derive: DerivedFeatures, tmp_path: Path
) -> None:
    with pytest.raises(TrainingFailed, match="its limit is 0 MB"):
        open_rows(source, "train", inputs, derive, Spent(SETTINGS, CPU), tmp_path)
    assert not list(tmp_path.iterdir())


class Spent(NoRoom):
    def check(self) -> None:
        self.before, self.limit = 0, 0
        super().check()
