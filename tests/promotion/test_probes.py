"""What a graph is asked besides its test rows, put to real graphs that are sound and to some that are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as build
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentinel.config import Gates
from sentinel.model.inputs import ModelInputs, Vocabulary
from sentinel.promotion.gates import Gate, verdicts
from sentinel.promotion.probes.golden import GOLDEN_ROWS, golden_rows
from sentinel.promotion.probes.odd_inputs import ask_odd_inputs
from sentinel.promotion.probes.raised_amounts import raise_amounts
from sentinel.promotion.probes.renamed_ids import score_renamed
from sentinel.promotion.probes.serving_process import measure_in_clean_process
from sentinel.promotion.questions import WAYS
from sentinel.scoring import Scorer
from tests.promotion.standins import GATES, NUMERIC, graph

INPUTS = ModelInputs(NUMERIC)
ROWS = 400
LABELS = {"entity": "merchant", "kind": "labels", "view": "merchant_labels", "window_us": 1}
COUNTED = [
    {"name": f"merchant_{statistic}_1d", "statistic": statistic, **LABELS}
    for statistic in ("fraud_count", "label_count")
]
FEATURE_SET = {"aggregates": COUNTED, "ages": [{"keys": ["device_id"]}]}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(4)
    columns = {
        "transaction_id": pa.array([f"T{row}" for row in range(ROWS)]),
        "customer_id": pa.array(random.integers(0, 30, ROWS)),
        "device_id": pa.array([None if row == 7 else f"D{row % 9}" for row in range(ROWS)]),
        "merchant_id": pa.array(random.integers(0, 9, ROWS)),
        "event_timestamp": pa.array(random.integers(0, 10**15, ROWS), pa.timestamp("us", "UTC")),
        "amount_minor": pa.array(random.integers(100, 9000, ROWS)),
        "customer_count_1d": pa.array(random.integers(0, 6, ROWS)),
        "customer_spending_age_us": pa.array(random.integers(1, 10**9, ROWS)),
        "merchant_fraud_count_1d": pa.array([None, *random.integers(0, 4, ROWS - 1)]),
        "merchant_label_count_1d": pa.array([None, *random.integers(4, 40, ROWS - 1)]),
    }
    return pa.table(columns)


def of_nodes(file: Path, nodes: Sequence[onnx.NodeProto], **constants: np.ndarray) -> Scorer:
    """A graph over NUMERIC; its last node gives `probability`."""
    stored = [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]
    inputs = [build.make_tensor_value_info("numeric", onnx.TensorProto.DOUBLE, ["rows", len(NUMERIC)])]
    outputs = [build.make_tensor_value_info("probability", onnx.TensorProto.FLOAT, ["rows"])]
    body = build.make_graph(list(nodes), "odd", inputs, outputs, stored)
    onnx.save_model(build.make_model(body, opset_imports=[build.make_opsetid("", 17)], ir_version=9), file)
    return Scorer(file)


def of_column(file: Path, column: int, weight: float, *after: onnx.NodeProto) -> Scorer:
    """The sigmoid of one raw input times a weight, with nothing against what is missing or endless."""
    nodes = [
        build.make_node("Gather", ["numeric", "column"], ["value"], axis=1),
        build.make_node("Mul", ["value", "weight"], ["product"]),
        build.make_node("Sigmoid", ["product"], ["wide"]),
        *(after or [build.make_node("Cast", ["wide"], ["probability"], to=onnx.TensorProto.FLOAT)]),
    ]
    return of_nodes(file, nodes, column=np.array(column), weight=np.array(weight))


def judged(folder: Path, name: str, inputs: ModelInputs = INPUTS, settings: Gates = GATES) -> Gate:
    (folder / "inputs.json").write_text(json.dumps(inputs.to_dict()))
    (folder / "training.json").write_text(json.dumps({"threshold": 0.1}))
    return next(gate for gate in verdicts(folder, settings) if gate.name == name)


def asked_odd(folder: Path, scorer: Scorer, table: pa.Table) -> Gate:
    pq.write_table(ask_odd_inputs(INPUTS, *INPUTS.encode(table.slice(0, 8)), scorer), folder / "odd_inputs.parquet")
    return judged(folder, "odd_inputs")


def test_graph_that_bounds_its_inputs_answers_every_odd_one(tmp_path: Path, table: pa.Table) -> None:
    assert asked_odd(tmp_path, Scorer(graph(tmp_path / "sound.onnx")), table).outcome == "passed"


def test_graph_that_passes_a_missing_value_on_fails(tmp_path: Path, table: pa.Table) -> None:
    gate = asked_odd(tmp_path, of_column(tmp_path / "graph.onnx", 1, 1.0), table)

    assert gate.outcome == "failed"
    assert "such as nan for" in gate.sentence and "= missing" in gate.sentence


def test_graph_whose_answer_leaves_the_probabilities_fails(tmp_path: Path, table: pa.Table) -> None:
    nodes = [
        build.make_node("IsNaN", ["numeric"], ["missing"]),
        build.make_node("Where", ["missing", "zero", "numeric"], ["known"]),
        build.make_node("Gather", ["known", "column"], ["value"], axis=1),
        build.make_node("Clip", ["value", "zero", "most"], ["bounded"]),
        build.make_node("Div", ["bounded", "scale"], ["wide"]),
        build.make_node("Cast", ["wide"], ["probability"], to=onnx.TensorProto.FLOAT),
    ]
    constants = {"zero": np.array(0.0), "column": np.array(1), "most": np.array(2e6), "scale": np.array(1e6)}

    gate = asked_odd(tmp_path, of_nodes(tmp_path / "graph.onnx", nodes, **constants), table)

    assert gate.outcome == "failed" and "such as 2.0 for" in gate.sentence


def test_every_category_is_asked_for_unknown_codes(tmp_path: Path, table: pa.Table) -> None:
    inputs = ModelInputs(NUMERIC, (Vocabulary("country", ("DE", "FR")), Vocabulary("channel", ("chip",))))
    numeric, _ = INPUTS.encode(table.slice(0, 4))
    scorer = Scorer(graph(tmp_path / "sound.onnx"))

    asked = ask_odd_inputs(inputs, numeric, np.full((4, 2), 2), scorer)

    pairs = set(zip(asked["input"].to_pylist(), asked["value"].to_pylist(), strict=True))
    assert {("country", "unknown"), ("country", "beyond the known"), ("channel", "smallest")} <= pairs
    pq.write_table(asked, tmp_path / "odd_inputs.parquet")
    assert judged(tmp_path, "odd_inputs", inputs).outcome == "passed"


def renamed(folder: Path, scorer: Scorer, inputs: ModelInputs, table: pa.Table) -> Gate:
    pq.write_table(score_renamed(inputs, table, FEATURE_SET, scorer), folder / "renamed_ids.parquet")
    return judged(folder, "ids_renamed", inputs)


def test_graph_that_is_told_no_names_answers_renamed_rows_alike(tmp_path: Path, table: pa.Table) -> None:
    gate = renamed(tmp_path, Scorer(graph(tmp_path / "sound.onnx")), INPUTS, table)

    assert gate.outcome == "passed"
    assert "transaction_id, customer_id, merchant_id, device_id was renamed" in gate.sentence


def test_graph_that_is_told_a_name_moves_when_it_changes(tmp_path: Path, table: pa.Table) -> None:
    knows = ModelInputs(("event_timestamp", "customer_id", *NUMERIC[2:]))
    scorer = of_column(tmp_path / "graph.onnx", 1, 0.01)

    gate = renamed(tmp_path, scorer, knows, table)

    assert (gate.outcome, gate.value) == ("failed", float(ROWS))


def raised(folder: Path, scorer: Scorer, table: pa.Table, feature_set: dict | None = None) -> Gate:
    asked = raise_amounts(INPUTS, table, *INPUTS.encode(table), feature_set or FEATURE_SET, scorer)
    pq.write_table(asked, folder / "raised_amounts.parquet")
    return judged(folder, "amount_direction")


def test_score_that_rises_with_the_amount_passes(tmp_path: Path, table: pa.Table) -> None:
    assert raised(tmp_path, Scorer(graph(tmp_path / "sound.onnx")), table).outcome == "passed"


def test_score_that_falls_with_the_amount_fails(tmp_path: Path, table: pa.Table) -> None:
    gate = raised(tmp_path, Scorer(graph(tmp_path / "falls.onnx", amount_weight=-1e-3, bias=1.0)), table)

    assert gate.outcome == "failed" and "4 times as large" in gate.sentence
    assert " 0 alarms would be called off" not in gate.sentence


def test_only_payments_at_merchants_with_known_frauds_are_raised(tmp_path: Path, table: pa.Table) -> None:
    scorer = Scorer(graph(tmp_path / "sound.onnx"))

    asked = raise_amounts(INPUTS, table, *INPUTS.encode(table), FEATURE_SET, scorer)

    frauds = np.array(table["merchant_fraud_count_1d"].fill_null(0).to_pylist())
    assert asked.num_rows == (frauds >= 1).sum() < ROWS


@pytest.mark.parametrize(
    ("aggregates", "frauds", "case"),
    [
        ([], 1, "no_merchant_labels"),
        (COUNTED[:1], 1, "no_merchant_labels"),
        ([{**entry, "entity": "customer"} for entry in COUNTED], 1, "no_merchant_labels"),
        (COUNTED, 0, "no_risky_merchant"),
    ],
)
def test_without_risk_that_is_known_the_case_is_named(
    tmp_path: Path, table: pa.Table, aggregates: list, frauds: int, case: str
) -> None:
    at = table.column_names.index("merchant_fraud_count_1d")
    known = table.set_column(at, "merchant_fraud_count_1d", pa.array([frauds] * ROWS))
    scorer = Scorer(graph(tmp_path / "sound.onnx"))

    asked = raise_amounts(INPUTS, known, *INPUTS.encode(known), {**FEATURE_SET, "aggregates": aggregates}, scorer)

    pq.write_table(asked, tmp_path / "raised_amounts.parquet")
    listed = GATES.model_copy(update={"not_applicable": (case,)})
    assert judged(tmp_path, "amount_direction", settings=listed).outcome == "not_applicable"
    outcome = "not_applicable" if case in GATES.not_applicable else "failed"
    assert judged(tmp_path, "amount_direction").outcome == outcome


@pytest.mark.parametrize("rows", [100, 127, 128, 129, 300, 5000])
def test_golden_questions_are_a_hundred_or_more_and_half_of_them_score_high(rows: int) -> None:
    scores = np.random.default_rng(rows).random(rows).astype(np.float32)

    chosen = golden_rows(scores)

    assert 100 <= len(chosen) <= GOLDEN_ROWS and len(set(chosen.tolist())) == len(chosen)
    assert scores.argmax() in chosen and scores.argmin() in chosen
    high = np.sort(scores)[-max(64, rows // 20)]
    assert (scores[chosen] >= high).sum() >= min(64, len(chosen) // 2)


def golden_answers(folder: Path, file: Path, table: pa.Table) -> Gate:
    numeric, categorical = INPUTS.encode(table.slice(0, 128))
    measured = measure_in_clean_process(file, (numeric, categorical), (numeric, categorical))
    served = Scorer(file).score(numeric, categorical).astype(float).tolist()
    answers = {"served": served, "champion": None, "again": measured.get("golden", [])}
    (folder / "golden_answers.json").write_text(json.dumps(answers | {"problem": measured.get("problem")}))
    (folder / "latency.json").write_text(json.dumps(measured))
    return judged(folder, "golden_stable")


def test_clean_process_answers_in_every_way_and_tells_its_own_memory(tmp_path: Path, table: pa.Table) -> None:
    ballast = np.ones(40_000_000)  # of this process, which the other one must not be charged for

    gate = golden_answers(tmp_path, graph(tmp_path / "sound.onnx"), table)

    assert gate.outcome == "passed" and f"in {len(WAYS)} ways" in gate.sentence
    memory = judged(tmp_path, "memory").value or 0.0
    assert 20 < memory < ballast.nbytes / 1e6
    assert judged(tmp_path, "size").value == (tmp_path / "sound.onnx").stat().st_size / 1e6


def test_graph_whose_answer_depends_on_who_else_is_asked_about_is_not_stable(tmp_path: Path, table: pa.Table) -> None:
    nodes = [
        build.make_node("ReduceMean", ["numeric"], ["middle"], axes=[0], keepdims=1),
        build.make_node("Sub", ["numeric", "middle"], ["moved"]),
        build.make_node("Gather", ["moved", "column"], ["value"], axis=1),
        build.make_node("Mul", ["value", "weight"], ["product"]),
        build.make_node("Sigmoid", ["product"], ["wide"]),
        build.make_node("Cast", ["wide"], ["probability"], to=onnx.TensorProto.FLOAT),
    ]
    of_nodes(tmp_path / "graph.onnx", nodes, column=np.array(1), weight=np.array(1e-3))

    assert golden_answers(tmp_path, tmp_path / "graph.onnx", table).outcome == "failed"


def test_graph_that_cannot_be_loaded_is_a_problem_and_no_measurement(tmp_path: Path, table: pa.Table) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"no graph")
    rows = INPUTS.encode(table)

    measured = measure_in_clean_process(tmp_path / "graph.onnx", rows, rows)

    assert "the measuring process ended with 1" in measured["problem"]
    (tmp_path / "latency.json").write_text(json.dumps(measured))
    for name in ("latency", "memory", "size"):
        gate = judged(tmp_path, name)
        assert gate.outcome == "failed" and "did not measure" in gate.sentence
