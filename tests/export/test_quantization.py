from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import Candidates, OnnxModel, Variants
from sentinel.config import Export, Gates
from sentinel.errors import RecordInvalid
from sentinel.export.calibration import sample_calibration
from sentinel.export.choice import bounds_of, choose, choose_variant, read_measurements
from sentinel.export.divergence import kl_divergence
from sentinel.export.int8_graph import count_integer_products, write_int8
from sentinel.export.made_from import newest_made_from
from sentinel.export.pareto import draw_pareto
from sentinel.export.prepared import prepare
from sentinel.export.quality import measure_quality
from sentinel.export.quantization import quantize
from sentinel.export.recipes import EVERY_RUN
from sentinel.export.rows import read_rows
from sentinel.export.variants import make_variant
from sentinel.metrics import pr_auc
from sentinel.scoring import Scorer
from sentinel.storage import sha256_file, write_json
from tests.export.conftest import Trained

SETTINGS = Export(calibration_rows=500)
LENIENT = Gates(min_pr_auc=0, max_variant_pr_auc_loss=0.05, max_variant_flips=0.02)
NO_FLIP = Gates(min_pr_auc=0, max_variant_pr_auc_loss=1, max_variant_flips=0)
NAMES = ("fp32", "int8_dynamic", "int8_static_per_tensor", "int8_static_per_channel")
STATIC = NAMES[2:]


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


def test_folder_holds_the_variants_and_their_evidence_and_nothing_else(folder: Path):
    kinds = ("{}.onnx", "scores_{}.parquet", "latency_{}.json")
    expected = ["measurements.json", "made_from.json", *(kind.format(name) for kind in kinds for name in NAMES)]
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


def test_the_choice_is_that_of_the_measurements(trained: Trained, candidates: Candidates, folder: Path):
    measured = read_measurements(candidates, home=trained.home)
    assert candidates.chosen == choose_variant(measured, bounds_of(LENIENT)).variant
    assert candidates.model_sha256 == sha256_file(folder / f"{candidates.chosen}.onnx")
    assert candidates.holds(trained.home)
    assert all(name in candidates.reason for name in NAMES)


def test_int8_computes_in_integers_and_fp32_does_not(measured: dict[str, Any]):
    products = [measured["variants"][name]["integer_matrix_products"] for name in NAMES]
    assert products == [0, 2, 2, 2]


def test_int8_is_smaller_and_keeps_its_distinct_scores(measured: dict[str, Any]):
    fp32 = measured["variants"]["fp32"]
    for name in NAMES[1:]:
        assert measured["variants"][name]["bytes"] < fp32["bytes"]
        assert measured["variants"][name]["distinct_scores"] > fp32["distinct_scores"] / 2


def test_the_scores_of_a_dynamic_range_depend_on_the_company_and_no_others_do(measured: dict[str, Any]):
    shifts = {name: measured["variants"][name]["largest_batch_shift"] for name in NAMES}
    assert shifts["int8_dynamic"] > 1e-4
    assert all(shift < 1e-5 for name, shift in shifts.items() if name != "int8_dynamic")


def test_every_figure_can_be_computed_again_from_the_evidence(
    folder: Path, measured: dict[str, Any], read_json: Callable[[Path], Any]
):
    tables = {name: pq.read_table(folder / f"scores_{name}.parquet") for name in NAMES}
    scores = {name: table["probability"].to_numpy().astype(float) for name, table in tables.items()}
    flagged = {name: score >= measured["threshold"] for name, score in scores.items()}
    amounts = tables["fp32"]["amount_minor"].to_numpy()
    for name, table in tables.items():
        assert len(table) == measured["test_rows"]
        assert table.column_names == ["transaction_id", "event_timestamp", "amount_minor", "is_fraud", "probability"]
        figures, fraud = measured["variants"][name], table["is_fraud"].to_numpy()
        assert figures["pr_auc"] == pr_auc(fraud, scores[name])
        assert figures["recall_at_alert_budget"] == flagged[name][fraud].mean()
        assert figures["kl_divergence"] == kl_divergence(scores["fp32"], scores[name])
        assert figures["largest_shift"] == np.abs(scores[name] - scores["fp32"]).max()
        flips, newly = flagged[name] != flagged["fp32"], flagged[name] & ~flagged["fp32"]
        assert (figures["flips"], figures["flipped_amount_minor"]) == (flips.sum(), amounts[flips].sum())
        assert (figures["newly_flagged"], figures["newly_flagged_amount_minor"]) == (newly.sum(), amounts[newly].sum())
        assert figures["newly_missed"] == flips.sum() - newly.sum()
        assert figures["newly_missed_amount_minor"] == amounts[flips].sum() - amounts[newly].sum()
        latency = read_json(folder / f"latency_{name}.json")
        assert len({*latency["samples_ms"], *latency["interrupted_ms"]}) > 1000
        assert figures["latency_p99_ms"] == np.quantile(latency["samples_ms"], 0.99, method="higher")
        assert figures["throughput_256_rows_per_s"] > 0
        assert figures["providers"] == ["CPUExecutionProvider"]


def test_a_decision_that_flips_is_counted_with_its_money_and_refused(
    trained: Trained, folder: Path, measured: dict[str, Any]
):
    rows = read_rows("test", *trained.artifacts, trained.home)
    fp32, int8 = (pq.read_table(folder / f"scores_{name}.parquet")["probability"].to_numpy() for name in NAMES[::2])
    between = int(np.argmax(np.abs(fp32 - int8)))
    quality = measure_quality(rows, int8, fp32, float(fp32[between] + int8[between]) / 2)
    assert quality is not None and quality.flips >= 1
    assert quality.flipped_amount_minor >= rows.amounts[between] > 0
    changed = measured["variants"]["int8_static_per_tensor"] | asdict(quality)
    choice = choose_variant({"fp32": measured["variants"]["fp32"], "one": changed}, bounds_of(NO_FLIP))
    assert choice.variant == "fp32" and "flips" in choice.refused["one"]


def test_the_picture_tells_the_chosen_and_the_refused_apart_and_does_not_depend_on_the_day(
    trained: Trained, candidates: Candidates, tmp_path: Path
):
    measured = read_measurements(candidates, home=trained.home)
    pictures: list[bytes] = []
    for name, gates in (("lenient", LENIENT), ("strict", NO_FLIP), ("again", NO_FLIP)):
        bounds = bounds_of(gates)
        draw_pareto(measured, choose_variant(measured, bounds), bounds, tmp_path / f"{name}.png")
        pictures.append((tmp_path / f"{name}.png").read_bytes())
    assert pictures[0] != pictures[1] == pictures[2]
    assert all(picture.startswith(b"\x89PNG") and len(picture) < 150_000 for picture in pictures)


def test_a_variant_without_measurements_is_told_in_the_picture(
    trained: Trained, candidates: Candidates, tmp_path: Path
):
    measured = read_measurements(candidates, home=trained.home) | {"int8_dynamic": {}}
    bounds = bounds_of(LENIENT)
    draw_pareto(measured, choose_variant(measured, bounds), bounds, tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").stat().st_size > 10_000


def test_what_the_variants_were_made_from_is_found_again(trained: Trained, folder: Path, tmp_path: Path):
    stages = tmp_path / "stages"
    assert newest_made_from(stages, trained.home) is None
    (stages / "one").mkdir(parents=True)
    (stages / "one" / "made_from.json").write_bytes((folder / "made_from.json").read_bytes())
    found = newest_made_from(stages, trained.home)
    assert found is not None and (found.trained, found.table, found.splits) == trained.artifacts


def test_same_graph_and_rows_give_the_same_bytes(trained: Trained, folder: Path, tmp_path: Path):
    rows = read_rows("calibration", *trained.artifacts, trained.home)
    calibration = rows.take(sample_calibration(rows.labels, SETTINGS.calibration_rows))
    prepare(folder / "fp32.onnx", tmp_path / "prepared.onnx")
    for recipe in EVERY_RUN[1:]:
        write_int8(tmp_path / "prepared.onnx", tmp_path / "again.onnx", recipe, calibration)
        assert (tmp_path / "again.onnx").read_bytes() == (folder / f"{recipe.name}.onnx").read_bytes(), recipe.name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.onnx", "prepared.onnx"]


def test_many_bounds_choose_from_one_measurement(trained: Trained, candidates: Candidates):
    variants = Variants(path=candidates.path, sha256=candidates.sha256, run_id=candidates.run_id)
    slack = {choose(variants, LENIENT.model_copy(update={"max_variant_batch_shift": 1.0}), home=trained.home).chosen}
    strict = choose(variants, LENIENT.model_copy(update={"max_variant_batch_shift": 0.0}), home=trained.home)
    assert slack <= set(NAMES)
    assert strict.chosen != "int8_dynamic" and "int8_dynamic scores a transaction" in strict.reason


def test_quantizing_says_nothing(
    trained: Trained, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    rows = read_rows("calibration", *trained.artifacts, trained.home).spread(200)
    prepare(folder / "fp32.onnx", tmp_path / "prepared.onnx")
    for recipe in (EVERY_RUN[1], replace(EVERY_RUN[3], calibration="Percentile")):
        write_int8(tmp_path / "prepared.onnx", tmp_path / "quiet.onnx", recipe, rows)
        assert count_integer_products(tmp_path / "quiet.onnx", tmp_path) == 2
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize("variant", NAMES)
def test_variants_have_standard_operators_and_no_path_of_this_machine(trained: Trained, folder: Path, variant: str):
    content = (folder / f"{variant}.onnx").read_bytes()
    graph = onnx.load_from_string(content)
    assert {node.domain for node in graph.graph.node} == {""}
    assert [entry.domain for entry in graph.opset_import] == [""]
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


def test_without_categories_int8_is_made_too(
    trained_without_categories: Trained, onnx_without_categories: OnnxModel, tmp_path: Path
):
    trained = trained_without_categories
    fp32 = onnx_without_categories.locate(trained.home) / "fp32.onnx"
    rows = read_rows("calibration", *trained.artifacts, trained.home).spread(200)
    prepare(fp32, tmp_path / "prepared.onnx")
    for recipe in EVERY_RUN:
        graph = make_variant(recipe, fp32, tmp_path / "prepared.onnx", rows, tmp_path)
        assert [value.name for value in onnx.load(graph).graph.input] == ["numeric"]
        assert np.isfinite(Scorer(graph).score(rows.numeric)).all()


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
