from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import Candidates, OnnxModel
from sentinel.config import Export, Gates
from sentinel.errors import RecordInvalid
from sentinel.export.choice import choose
from sentinel.export.int8_graph import count_integer_products, prepared, sample_calibration, write_static
from sentinel.export.measurement import measure_quality
from sentinel.export.onnx_graph import export
from sentinel.export.quantization import quantize
from sentinel.export.rows import Rows, read_rows
from sentinel.export.variants import IN_EVERY_RUN
from sentinel.metrics import pr_auc
from sentinel.scoring import Scorer
from sentinel.storage import sha256_file, write_json
from tests.export.conftest import Trained

SETTINGS = Export(calibration_rows=500)
LENIENT = Gates(min_pr_auc=0, max_variant_pr_auc_loss=0.05, max_variant_flips=0.02)
NAMES = [variant.name for variant in IN_EVERY_RUN]
INTEGER = NAMES[1:]
STATIC = [name for name in NAMES if "static" in name]
NO_FLIP = Gates(min_pr_auc=0, max_variant_pr_auc_loss=1, max_variant_flips=0)


@pytest.fixture(scope="module")
def candidates(trained: Trained, onnx_model: OnnxModel) -> Candidates:
    return _quantize(trained, onnx_model, "candidates")


@pytest.fixture(scope="module")
def folder(trained: Trained, candidates: Candidates) -> Path:
    return candidates.locate(trained.home)


@pytest.fixture(scope="module")
def measured(folder: Path, read_json: Callable[[Path], Any]) -> dict[str, Any]:
    return read_json(folder / "measurements.json")


def _quantize(trained: Trained, onnx_model: OnnxModel, out: str, gates: Gates = LENIENT) -> Candidates:
    variants = quantize(onnx_model, *trained.artifacts, SETTINGS, home=trained.home, out=trained.home / out)
    return choose(variants, gates, home=trained.home)


def test_folder_holds_every_variant_and_their_evidence_and_nothing_else(folder: Path):
    kinds = ("{}.onnx", "scores_{}.parquet", "latency_{}.json")
    expected = ["measurements.json", "pareto.png", *(kind.format(name) for kind in kinds for name in NAMES)]
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


def test_the_fastest_that_passes_goes_to_promotion(
    trained: Trained, candidates: Candidates, folder: Path, measured: dict[str, Any]
):
    found = measured["variants"]
    passing = [name for name in NAMES if f"{name} is refused" not in candidates.reason]
    assert candidates.chosen == min(passing, key=lambda name: round(found[name]["latency_p99_ms"], 3))
    assert candidates.model_sha256 == sha256_file(folder / f"{candidates.chosen}.onnx")
    assert candidates.holds(trained.home)


def test_int8_computes_in_integers_and_fp32_does_not(measured: dict[str, Any]):
    assert [measured["variants"][name]["integer_matrix_products"] for name in INTEGER] == [2, 2, 2]
    assert measured["variants"]["fp32"]["integer_matrix_products"] == 0


def test_int8_is_smaller_and_keeps_its_distinct_scores(measured: dict[str, Any]):
    fp32 = measured["variants"]["fp32"]
    for name in INTEGER:
        int8 = measured["variants"][name]
        assert int8["bytes"] < fp32["bytes"]
        assert int8["distinct_scores"] > fp32["distinct_scores"] / 2
        assert int8["kl_divergence"] > 0 == fp32["kl_divergence"]


def test_every_figure_can_be_computed_again_from_the_evidence(
    folder: Path, measured: dict[str, Any], read_json: Callable[[Path], Any]
):
    tables = {name: pq.read_table(folder / f"scores_{name}.parquet") for name in NAMES}
    scores = {name: table["probability"].to_numpy().astype(float) for name, table in tables.items()}
    flagged = {name: score >= measured["threshold"] for name, score in scores.items()}
    amounts, labels = tables["fp32"]["amount_minor"].to_numpy(), tables["fp32"]["is_fraud"].to_numpy()
    for name, table in tables.items():
        assert len(table) == measured["test_rows"]
        assert table.column_names == ["transaction_id", "event_timestamp", "amount_minor", "is_fraud", "probability"]
        figures = measured["variants"][name]
        assert figures["pr_auc"] == pr_auc(table["is_fraud"].to_numpy(), scores[name])
        flips = flagged[name] != flagged["fp32"]
        assert (figures["flips"], figures["flipped_amount_minor"]) == (flips.sum(), amounts[flips].sum())
        assert figures["recall_at_budget"] == flagged[name][labels].mean()
        assert figures["newly_flagged"] + figures["newly_missed"] == figures["flips"]
        samples = read_json(folder / f"latency_{name}.json")["samples_ms"]
        assert len(samples) == 4000
        assert figures["latency_p99_ms"] == np.quantile(samples, 0.99, method="higher")
        assert figures["throughput_256_rows_per_s"] > 0
        assert figures["providers"] == ["CPUExecutionProvider"]


def test_a_flip_over_the_bound_leaves_fp32_with_the_reason(trained: Trained, onnx_model: OnnxModel, folder: Path):
    fp32, int8 = (
        pq.read_table(folder / f"scores_{name}.parquet")["probability"].to_numpy()
        for name in ("fp32", "int8_static_per_channel")
    )
    between = int(np.argmax(np.abs(fp32 - int8)))
    with _training_record(trained, {"threshold": float(fp32[between] + int8[between]) / 2}):
        candidates = _quantize(trained, onnx_model, "flipping", NO_FLIP)
    assert candidates.chosen != "int8_static_per_channel"
    assert "int8_static_per_channel is refused: it flips" in candidates.reason


def write_per_channel(fp32: Path, path: Path, calibration: Rows) -> None:
    with prepared(fp32, path.parent) as source:
        write_static(source, path, calibration, per_channel=True)


def test_same_graph_and_rows_give_the_same_int8_bytes(trained: Trained, folder: Path, tmp_path: Path):
    rows = read_rows("calibration", *trained.artifacts, trained.home)
    calibration = rows.take(sample_calibration(rows.labels, SETTINGS.calibration_rows))
    write_per_channel(folder / "fp32.onnx", tmp_path / "again.onnx", calibration)
    assert (tmp_path / "again.onnx").read_bytes() == (folder / "int8_static_per_channel.onnx").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.onnx"]


def test_quantizing_says_nothing(
    trained: Trained, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    rows = read_rows("calibration", *trained.artifacts, trained.home)
    write_per_channel(folder / "fp32.onnx", tmp_path / "quiet.onnx", rows.spread(200))
    assert count_integer_products(tmp_path / "quiet.onnx", tmp_path) == 2
    assert capfd.readouterr() == ("", "")
    assert [record.name for record in caplog.records if record.name != "sentinel.scoring"] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_has_standard_operators_only(folder: Path, name: str):
    graph = onnx.load(folder / f"{name}.onnx")
    assert {node.domain for node in graph.graph.node} == {""}
    assert [(entry.domain, entry.version >= 17) for entry in graph.opset_import] == [("", True)]


@pytest.mark.parametrize("name", NAMES)
def test_no_path_of_this_machine_is_in_a_variant(trained: Trained, folder: Path, name: str):
    content = (folder / f"{name}.onnx").read_bytes()
    assert all(place.encode() not in content for place in (str(Path.cwd()), str(trained.home), "/tmp", ".py"))


@pytest.mark.parametrize("variant", NAMES)
def test_missing_infinite_extreme_and_unknown_inputs_give_finite_answers(trained: Trained, folder: Path, variant: str):
    rows = read_rows("test", *trained.artifacts, trained.home).spread(1)
    columns = rows.numeric.shape[1]
    values = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e308, -1e308, 5e-324)
    numeric = np.vstack([np.full((1, columns), value) for value in values])
    for column in range(columns):
        numeric = np.vstack([numeric, *(_replaced(rows.numeric, column, value) for value in values)])
    codes = np.resize(np.array([0, 1, 2, 10**6, -5], np.int64), (len(numeric), rows.categorical.shape[1]))
    answers = Scorer(folder / f"{variant}.onnx").score(numeric, codes)
    assert np.isfinite(answers).all()
    assert ((answers >= 0) & (answers <= 1)).all()


def _replaced(row: np.ndarray, column: int, value: float) -> np.ndarray:
    changed = row.copy()
    changed[:, column] = value
    return changed


@pytest.mark.parametrize("variant", ["fp32", *STATIC])
def test_answers_do_not_depend_on_the_batch(trained: Trained, folder: Path, variant: str):
    rows = read_rows("test", *trained.artifacts, trained.home).spread(700)
    scorer = Scorer(folder / f"{variant}.onnx")
    whole = scorer.run(rows.numeric, rows.categorical)
    single = [scorer.run(rows.numeric[at : at + 1], rows.categorical[at : at + 1])[0] for at in range(50)]
    assert np.abs(whole[:50] - single).max() < 1e-5
    assert np.abs(whole - scorer.score(rows.numeric, rows.categorical)).max() < 1e-5


def test_calibration_rows_hold_frauds_however_rare_and_are_the_same_each_time():
    labels = np.zeros(20_000, bool)
    labels[[17, 4000, 19_999]] = True
    drawn = sample_calibration(labels, 400)
    assert len(drawn) == len(set(drawn.tolist())) == 400
    assert labels[drawn].sum() == 3
    assert (drawn == sample_calibration(labels, 400)).all()


def test_calibration_takes_every_row_of_a_small_part():
    labels = np.arange(60) % 20 == 0
    assert sample_calibration(labels, 4096).tolist() == list(range(60))


def test_scores_that_are_not_finite_have_no_quality(trained: Trained):
    rows = read_rows("test", *trained.artifacts, trained.home).spread(100)
    scores = np.linspace(0, 1, 100, dtype=np.float32)
    assert measure_quality(rows, np.where(scores > 0.9, np.nan, scores), scores, 0.5) is None


def test_without_categories_int8_is_made_too(trained_without_categories: Trained):
    trained = trained_without_categories
    onnx_model = export(*trained.artifacts, home=trained.home, out=trained.home / "onnx")
    candidates = _quantize(trained, onnx_model, "candidates")
    for name in NAMES:
        graph = onnx.load(candidates.locate(trained.home) / f"{name}.onnx")
        assert [value.name for value in graph.graph.input] == ["numeric"]


def test_a_training_record_without_threshold_is_refused(trained: Trained, onnx_model: OnnxModel):
    with _training_record(trained, {"epochs": 3}), pytest.raises(RecordInvalid, match="threshold"):
        _quantize(trained, onnx_model, "refused")
    assert not (trained.home / "refused").exists()


@contextmanager
def _training_record(trained: Trained, record: dict[str, Any]) -> Generator[None]:
    file = trained.home / "train" / "training.json"
    before = file.read_bytes()
    write_json(file, record)
    try:
        yield
    finally:
        file.write_bytes(before)
