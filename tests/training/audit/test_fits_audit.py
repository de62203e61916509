"""Nothing that training fits may know what came after its part, and the audit sees it when something does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sentinel.artifacts import FeatureTable, Splits
from sentinel.errors import AuditBlind, LeakageFound
from sentinel.training.audit import fits_audit
from sentinel.training.audit.fits_audit import FitsReport, audit_fits
from sentinel.training.data import source
from sentinel.training.data.splits import read_blocks, split
from tests.model.raw import features_table
from tests.training.conftest import SETTINGS, TIMES, store_table
from tests.training.data.test_splits import with_label_times


@pytest.fixture(scope="module")
def splits(home: Path, table: FeatureTable) -> Splits:
    return split(table, TIMES, home=home, out=home / "splits")


def audited(table: FeatureTable, splits: Splits, home: Path) -> FitsReport:
    return audit_fits(table, splits, SETTINGS, home=home, seed=5)


def test_what_training_fits_knows_nothing_of_the_future(home: Path, table: FeatureTable, splits: Splits) -> None:
    report = audited(table, splits, home)
    report.require_in_time()
    assert report.moved == ()
    assert all(planted.caught for planted in report.planted)
    assert {"the vocabulary of channel", "the bins", "the scaling", "the threshold"} <= set(report.checked)
    assert not list(home.glob("fits-*"))


def test_table_of_a_thousand_rows_shows_every_planted_fit(tmp_path: Path) -> None:
    table = store_table(tmp_path, features_table(1000, fraud_rate=0.1))
    splits = split(table, TIMES, home=tmp_path, out=tmp_path / "splits")
    report = audited(table, splits, tmp_path)
    assert report.moved == () and all(planted.caught for planted in report.planted)


def test_parts_read_beyond_their_end_are_a_leak(
    home: Path, table: FeatureTable, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    _change_what_is_read(monkeypatch, {"end": "2026-04-01T00:00:00+00:00"})
    report = audited(table, splits, home)
    assert {moved.name for moved in report.moved} == set(report.checked)
    with pytest.raises(LeakageFound, match=r"What training fits knew the future: the vocabulary of channel, .* became"):
        report.require_in_time()


def test_label_that_came_after_its_part_is_a_leak_where_it_is_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = with_label_times(features_table(4000), [timedelta(days=1), timedelta(days=30)])
    table = store_table(tmp_path, rows)
    splits = split(table, TIMES, home=tmp_path, out=tmp_path / "splits")
    assert audited(table, splits, tmp_path).moved == ()
    _change_what_is_read(monkeypatch, {"labels_until": None})
    moved = {moved.name for moved in audited(table, splits, tmp_path).moved}
    assert {"the training rows", "the general fraud rate", "the threshold"} <= moved


def test_audit_that_sees_no_planted_fit_fails(
    home: Path, table: FeatureTable, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits_audit, "_to_the_end", lambda source: source)
    with pytest.raises(AuditBlind, match="did not see the vocabulary of channel fitted on all rows"):
        audited(table, splits, home).require_in_time()


def _change_what_is_read(monkeypatch: pytest.MonkeyPatch, change: Mapping[str, Any]) -> None:
    """Every part is read as if splits.json said so."""

    def changed(table: Path, splits: Mapping[str, Any], name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        return read_blocks(table, {name: {**splits[name], **change}}, name, columns)

    monkeypatch.setattr(source, "read_blocks", changed)
