"""Folds of an own table: inside train and validation, a label maturity apart, with the labels of their day."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sentinel.artifacts import FeatureTable
from sentinel.errors import DataContractError
from sentinel.training.data.splits import PARTS, Part, read_splits, split
from sentinel.training.tuning.folds import FoldedRows, fit_and_judge
from sentinel.training.tuning.rolling_folds import FOLDS, plan_folds, read_folds
from tests.model.raw import feature_set, features_table
from tests.training.conftest import DAY, SETTINGS, TIMES, store_table
from tests.training.parts import read_part

START = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


def parted(home: Path, table: FeatureTable) -> dict[str, Any]:
    return read_splits(split(table, TIMES, home=home, out=home / "parted").locate(home))


def read(home: Path, table: FeatureTable) -> tuple[FoldedRows, dict[str, Any], Path]:
    splits, file = parted(home, table), table.locate(home) / "features.parquet"
    return read_folds(file, feature_set(), splits), splits, file


@pytest.fixture(scope="module")
def folded(home: Path, table: FeatureTable) -> tuple[FoldedRows, dict[str, Any], Path]:
    return read(home, table)


@hypothesis_settings(max_examples=60, deadline=None)
@given(train=st.integers(1, 200), validation=st.integers(1, 40), gap=st.integers(1, 20))
def test_no_fold_reaches_the_calibration_part_or_knows_a_label_too_early(train: int, validation: int, gap: int) -> None:
    known = Part(START, START + train * DAY)
    judged = Part(known.end + gap * DAY, known.end + (gap + validation) * DAY)
    plans = plan_folds(
        {
            name: {"start": part.start.isoformat(), "end": part.end.isoformat()}
            for name, part in (("train", known), ("validation", judged))
        }
    )
    assert (plans[-1].train, plans[-1].judged) == (known, judged)
    assert 1 <= len(plans) <= FOLDS
    for earlier, later in pairwise(plans):
        assert earlier.judged.end == later.judged.start
    for plan in plans:
        assert plan.train.start == START and plan.judged.end <= judged.end
        assert plan.judged.start - plan.train.end == gap * DAY
        assert plan is plans[-1] or plan.train.end - plan.train.start >= validation * DAY


def test_last_fold_is_the_tables_own_train_and_validation_part(folded: tuple[FoldedRows, dict[str, Any], Path]) -> None:
    data, splits, file = folded
    assert len(data.folds) == FOLDS
    for part, rows in (("train", data.known(data.folds[-1])), ("validation", data.asked(data.folds[-1]))):
        own = read_part(file, splits, part, ["is_fraud", "amount_minor"])
        assert rows.is_fraud().tolist() == own["is_fraud"].to_pylist()
        amounts = np.log1p(own["amount_minor"].to_numpy().astype(np.float64)).astype(np.float32)
        assert rows.derived[:, 0].numpy() == pytest.approx(amounts)


def test_rows_of_calibration_and_test_are_not_even_read(folded: tuple[FoldedRows, dict[str, Any], Path]) -> None:
    data, splits, file = folded
    sizes = {name: read_part(file, splits, name, ["is_fraud"]).num_rows for name in PARTS}
    assert sizes["train"] + sizes["validation"] <= len(data.rows) < sum(sizes.values()) - sizes["test"]


def test_fold_knows_the_labels_of_its_day_and_no_later_ones(tmp_path: Path) -> None:
    rows = features_table(3000)
    moments = rows["event_timestamp"].to_pylist()
    late = np.arange(len(moments)) % 3 == 0
    came = [moment + (60 * DAY if is_late else timedelta(0)) for moment, is_late in zip(moments, late, strict=True)]
    table = store_table(tmp_path, rows.append_column("label_available_at", pa.array(came, pa.timestamp("us", "UTC"))))
    data, splits, file = read(tmp_path, table)
    first, last = data.folds[0], data.folds[-1]
    assert last.train_labels.tolist() == read_part(file, splits, "train", ["is_fraud"])["is_fraud"].to_pylist()
    shared = len(first.train)
    assert (first.train == last.train[:shared]).all()
    assert last.train_labels[:shared].sum() >= first.train_labels.sum() > 0
    # a fraud that was reported 60 days later is genuine for now
    happened = read_part(file, splits, "train", ["transaction_id"])["transaction_id"].to_numpy()[:shared]
    assert (first.train_labels <= rows["is_fraud"].to_numpy()[happened]).all()
    assert first.train_labels.sum() < rows["is_fraud"].to_numpy()[happened].sum()


def test_rows_without_a_label_are_left_out_where_they_do_not_count_as_genuine(tmp_path: Path) -> None:
    rows = features_table(3000)
    label = rows["is_fraud"].to_pylist()
    label[::2] = [None] * len(label[::2])
    table = store_table(tmp_path, rows.set_column(rows.column_names.index("is_fraud"), "is_fraud", pa.array(label)))
    times = TIMES.model_copy(update={"unlabelled_is_genuine": False})
    splits = read_splits(split(table, times, home=tmp_path, out=tmp_path / "parted").locate(tmp_path))
    file = table.locate(tmp_path) / "features.parquet"
    fold = read_folds(file, feature_set(), splits).folds[-1]
    assert fold.train_labels.tolist() == read_part(file, splits, "train", ["is_fraud"])["is_fraud"].to_pylist()


def test_what_is_fitted_once_comes_from_the_first_folds_training(
    folded: tuple[FoldedRows, dict[str, Any], Path],
) -> None:
    data, _, _ = folded
    assert data.fraud_rate == pytest.approx(float(data.folds[0].train_labels.mean()))
    assert all(set(data.folds[0].train) <= set(fold.train) for fold in data.folds)


def test_table_without_frauds_before_calibration_is_refused(tmp_path: Path) -> None:
    rows = features_table(3000)
    table = store_table(tmp_path, rows)
    splits = parted(tmp_path, table)
    genuine = rows.set_column(rows.column_names.index("is_fraud"), "is_fraud", pa.array([False] * rows.num_rows))
    pq.write_table(genuine, tmp_path / "features" / "features.parquet")
    with pytest.raises(DataContractError, match="frauds and genuine rows"):
        read_folds(tmp_path / "features" / "features.parquet", feature_set(), splits)


def test_network_is_fitted_and_judged_on_a_fold_the_same_twice(folded: tuple[FoldedRows, dict[str, Any], Path]) -> None:
    data, _, _ = folded
    fold, few = data.folds[0], SETTINGS.model_copy(update={"epochs": 2})
    found = fit_and_judge(data, fold, few, seed=1)
    assert found == fit_and_judge(data, fold, few, seed=1)
    assert found.pr_auc > 2 * fold.judged_labels.mean()
