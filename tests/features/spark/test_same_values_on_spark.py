"""The same spec on both engines: every file holds the same rows, in the same order, byte for byte."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from sentinel.artifacts import FeatureTable
from sentinel.config import Column, Columns, Features, Simulation, Spark, load_config
from sentinel.data.embedded import embedded_data
from sentinel.feature_spec import FeatureSpec, load_spec
from sentinel.features.spec import FeatureSet, feature_set
from tests.features.project import HERE, Project, columns
from tests.tables import canonical_table

EXTREMES = (2**63 - 1, -(2**63) + 1, 3_037_000_499, 3_037_000_500, 0, -1)


def build_on(engine: str, spark: Spark, folder: Path, table: pa.Table, mapped: Columns, rules: Features) -> Path:
    rules = rules.model_copy(update={"engine": engine, "spark": spark})
    project = Project(folder / engine, rules)
    made: FeatureTable = project.build(table, mapped)
    assert not (project.paths.home / "out" / "scratch").exists()
    return made.locate(project.paths.home)


def rows_of(view: Path, wanted: FeatureSet, name: str) -> pa.Table:
    """All files of a view in one order; in each file the rows are sorted already, and no key is in two."""
    keys = next(each for each in wanted.views if each.name == name).keys
    order = [(column, "ascending") for column in (*keys, f"{name}_known_at_us")]
    files = [parquet.read_table(file) for file in sorted(view.glob("*.parquet"))]
    assert all(file.equals(file.sort_by(order)) for file in files)
    assert {path.suffix for path in view.iterdir()} == {".parquet"}
    return pa.concat_tables(files).sort_by(order)


def require_same(ours: Path, sparks: Path, wanted: FeatureSet) -> None:
    for view in wanted.views:
        expected, found = (rows_of(folder / "views" / view.name, wanted, view.name) for folder in (ours, sparks))
        assert found.schema.equals(expected.schema), f"{view.name}: {found.schema} is not {expected.schema}"
        assert found.num_rows and found.equals(expected), view.name
    for file in ("features.parquet", "feature_set.json", "features.json"):
        assert (sparks / file).read_bytes() == (ours / file).read_bytes(), file


@pytest.mark.timeout(900)
def test_200_000_simulated_transactions(tmp_path: Path, spark: Spark) -> None:
    config = load_config(HERE / "configs" / "default.toml")
    fill = embedded_data(Simulation(transactions=200_000, seed=3), config.columns, config.source, config.where)
    fill(tmp_path / "data")
    table = parquet.read_table(tmp_path / "data" / "transactions.parquet")
    assert table.num_rows > 199_000
    folders = [build_on(engine, spark, tmp_path, table, config.columns, Features()) for engine in ("duckdb", "spark")]
    wanted = feature_set(config.columns, Features())
    assert {"customer_spending", "customer_merchant_spending", "merchant_labels"} <= {
        view.name for view in wanted.views
    }
    require_same(*folders, wanted)
    features = parquet.read_table(folders[1] / "features.parquet")
    assert features.num_rows == table.num_rows and features["customer_distinct_merchants_7d"].null_count < 100_000


def corrected_table() -> pa.Table:
    """Text keys, three entities, corrections of everything, amounts that overflow, lost merchants."""
    random = np.random.default_rng(8)
    table = canonical_table(
        2500, seed=8, days=50, customers=25, merchants=12, string_ids=True, with_recorded_at=True, with_label_time=False
    )
    frame: dict[str, Any] = {name: np.array(table[name].to_numpy(zero_copy_only=False)) for name in table.column_names}
    frame["device_id"] = np.array(["d'1", "d`2", 'd"3', "", "ü"], object)[random.integers(0, 5, 2500)]
    frame["merchant_id"] = np.where(random.random(2500) < 0.05, None, frame["merchant_id"])
    frame["amount_minor"][random.integers(0, 2500, 60)] = random.choice(EXTREMES, 60)
    again = np.sort(random.choice(2500, 300, replace=False))
    corrected = {name: values[again].copy() for name, values in frame.items()}
    later = random.choice([1, 3600, 86_400, 20 * 86_400, 40 * 86_400], 300) * np.timedelta64(1, "s")
    corrected["recorded_at"] = corrected["recorded_at"] + later
    for name in ("customer_id", "merchant_id", "amount_minor", "is_fraud", "device_id"):
        changed = random.random(300) < 0.4
        corrected[name][changed] = random.permutation(frame[name])[:300][changed]
    both = {name: np.concatenate([frame[name], corrected[name]]) for name in frame}
    kinds = {field.name: field.type for field in table.schema} | {"device_id": pa.string()}
    return pa.table({name: pa.array(values, kinds[name], from_pandas=True) for name, values in both.items()})


@pytest.mark.timeout(900)
def test_corrections_text_keys_further_entities_and_amounts_beyond_64_bits(tmp_path: Path, spark: Spark) -> None:
    table = corrected_table()
    assert table["transaction_id"].unique().to_pylist() != table["transaction_id"].to_pylist()
    mapped = columns(
        merchant_id=Column(source="m"), recorded_at=Column(source="r"), entities={"device": Column(source="d")}
    )
    ahead = {"back": "7d", "ahead": "1d"}
    leaks = FeatureSpec.model_validate(
        {
            "customer": {
                "spending": {"amount_sum": [ahead], "amount_max": ["36h"]},
                "labels": {
                    **{statistic: [ahead] for statistic in ("first_fraud_at", "last_fraud_at", "last_genuine_at")},
                    **{statistic: ["36h"] for statistic in ("genuine_amount_sum", "genuine_amount_max")},
                },
            }
        }
    )
    spec = FeatureSpec(
        load_spec(HERE / "sentinel" / "features" / "features.toml").root | {"device": leaks.root["customer"]}
    )
    rules = Features(label_delay=timedelta(days=3), ingestion_lag=timedelta(seconds=90), spec=spec)
    folders = [build_on(engine, spark, tmp_path, table, mapped, rules) for engine in ("duckdb", "spark")]
    wanted = feature_set(mapped, rules)
    require_same(*folders, wanted)
    found = parquet.read_table(folders[1] / "features.parquet")
    for sums in ("customer_amount_sum_of_squares_30d", "customer_genuine_amount_sum_of_squares_30d"):
        assert 2**63 - 1 in found[sums].to_pylist()
    assert 0 < found["merchant_first_fraud_at_30d"].null_count < found.num_rows
    assert "device_amount_sum_7d_ahead_1d" in wanted.columns
