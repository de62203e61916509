"""Every gate passes and fails by its evidence, and fails without it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sentinel.config import Gates
from sentinel.promotion.gates import Gate, named, passes, verdicts
from sentinel.promotion.questions import ABOUT, CLOSE
from sentinel.promotion.rules import RULES
from tests.promotion.standins import GATES, REPEATED, Stages, judged, read_json, stages

Damage = Callable[[Path], None]
NAMES = [rule.name for rule in RULES]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evidence by which every gate passes, a champion with the same scores included."""
    home = tmp_path_factory.mktemp("good") / "home"
    made = stages(home)
    judged(made, home / "gates")
    evidence = home / "gates" / "evidence"
    table = pq.read_table(evidence / "scores.parquet")
    pq.write_table(table.append_column("champion", table["serving"]), evidence / "scores.parquet")
    facts = {"version": "1", "problem": None, "rows": table.num_rows, "learned_until": "2026-03-06 00:00 UTC"}
    (evidence / "champion.json").write_text(json.dumps(facts))
    answers = read_json(evidence / "golden_answers.json")
    (evidence / "golden_answers.json").write_text(json.dumps(answers | {"champion": answers["served"]}))
    return evidence


@pytest.fixture
def evidence(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "evidence"))


def outcomes(evidence: Path, settings: Gates = GATES) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in verdicts(evidence, settings)}


def the(evidence: Path, name: str, settings: Gates = GATES) -> Gate:
    return next(gate for gate in verdicts(evidence, settings) if gate.name == name)


def rescored(**columns: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(evidence: Path) -> None:
        table = pq.read_table(evidence / "scores.parquet")
        for name, change in columns.items():
            values = change(table[name].to_numpy().astype(np.float32))
            table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float32()))
        pq.write_table(table, evidence / "scores.parquet")

    return damage


def answered(file: str, column: str, change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(evidence: Path) -> None:
        table = pq.read_table(evidence / file)
        values = pa.array(change(table[column].to_numpy().copy()), pa.float32())
        pq.write_table(table.set_column(table.column_names.index(column), column, values), evidence / file)

    return damage


def about(file: str, **values: object) -> Damage:
    def damage(evidence: Path) -> None:
        table = pq.read_table(evidence / file).replace_schema_metadata({ABOUT: json.dumps(values)})
        pq.write_table(table, evidence / file)

    return damage


def without_risk(case: str) -> Damage:
    return about("raised_amounts.parquet", case=case, sentence="None is risky.")


def never_asked(column: str, value: str) -> Damage:
    def damage(evidence: Path) -> None:
        table = pq.read_table(evidence / "odd_inputs.parquet")
        kept = [asked != value for asked in table[column].to_pylist()]
        pq.write_table(table.filter(pa.array(kept)), evidence / "odd_inputs.parquet")

    return damage


def again(change: Callable[[list[dict]], list[dict]]) -> Damage:
    def damage(evidence: Path) -> None:
        rewritten("golden_answers.json", again=change(read_json(evidence / "golden_answers.json")["again"]))(evidence)

    return damage


def of_champion(change: Callable[[list[float]], list]) -> Damage:
    def damage(evidence: Path) -> None:
        answers = read_json(evidence / "golden_answers.json")["champion"]
        rewritten("golden_answers.json", champion=change(answers))(evidence)

    return damage


def reversed_in_a_slice(evidence: Path) -> None:
    table = pq.read_table(evidence / "scores.parquet")
    scores = table["serving"].to_numpy().copy()
    members = np.array(table["slice customer"].to_pylist()) == "known"
    scores[members] = scores[members].max() - scores[members]
    pq.write_table(
        table.set_column(table.column_names.index("serving"), "serving", pa.array(scores, pa.float32())),
        evidence / "scores.parquet",
    )


def rewritten(name: str, **values: object) -> Damage:
    def damage(evidence: Path) -> None:
        (evidence / name).write_text(json.dumps({**read_json(evidence / name), **values}))

    return damage


def of_audit(part: str, **values: object) -> Damage:
    def damage(evidence: Path) -> None:
        found = read_json(evidence / "audit.json")[part]
        rewritten("audit.json", **{part: {**found, **values}})(evidence)

    return damage


def repeated(**values: object) -> Damage:
    return rewritten("training.json", reproducibility={**REPEATED, **values})


def expectations(asked: int, **outcomes: int) -> Damage:
    return rewritten(
        "verdict.json",
        expectations=asked,
        outcomes={"passed": 0, "warning": 0, "failed": 0, "not_checked": 0} | outcomes,
    )


def without(name: str) -> Damage:
    return lambda evidence: (evidence / name).unlink()


def one(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.where(np.arange(len(values)) == 3, value, values)


one_nan = one(np.nan)


def test_good_evidence_passes_every_gate(good: Path) -> None:
    assert outcomes(good) == dict.fromkeys(NAMES, "passed")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("data_validation", expectations(25, passed=24, failed=1)),
        ("data_validation", expectations(25, passed=24, not_checked=1)),
        ("data_validation", expectations(25, passed=24)),
        ("data_validation", expectations(0)),
        ("data_validation", rewritten("verdict.json", outcomes={})),
        ("data_validation", without("verdict.json")),
        ("leak_audit", rewritten("audit.json", leaks=[{"feature": "customer_count_1d"}])),
        ("leak_audit", rewritten("audit.json", rows_checked=0)),
        ("leak_audit", rewritten("audit.json", planted=[])),
        ("leak_audit", rewritten("audit.json", planted=[{"name": "own amount", "caught": False}])),
        ("leak_audit", without("audit.json")),
        ("oracle", of_audit("oracle", mismatches=[{"feature": "customer_count_1d"}])),
        ("oracle", of_audit("oracle", fault="A row was lost.")),
        ("oracle", of_audit("oracle", rows_checked=0)),
        ("oracle", rewritten("audit.json", oracle=None)),
        ("fits_in_time", of_audit("fits", moved=[{"name": "bins"}])),
        ("fits_in_time", of_audit("fits", checked=[])),
        ("fits_in_time", of_audit("fits", planted=[{"name": "bins", "caught": False}])),
        ("fits_in_time", rewritten("audit.json", fits=None)),
        ("features_online", rewritten("online.json", is_online=False, mismatches=2)),
        ("features_online", rewritten("online.json", is_online=False, reason="It was emptied.")),
        ("features_online", rewritten("online.json", sampled=0)),
        ("features_online", without("online.json")),
        ("reproducibility", repeated(kind="within", largest_difference=2e-5, first_step_that_differs=3)),
        ("reproducibility", repeated(kind="not reproducible", largest_difference=0.1, first_step_that_differs=1)),
        ("reproducibility", repeated(kind="not reproducible", largest_difference=None, first_step_that_differs=1)),
        ("reproducibility", repeated(kind="not measured", problem="it took too long", steps=0)),
        ("reproducibility", repeated(steps=0)),
        ("reproducibility", repeated(first_step_that_differs=3)),
        ("reproducibility", repeated(kind="within", largest_difference=1e-7)),
        ("reproducibility", rewritten("training.json", reproducibility=None)),
        ("reproducibility", without("training.json")),
        ("pr_auc_floor", rescored(serving=lambda score: 1 - score)),
        ("pr_auc_floor", rescored(serving=one_nan)),
        ("pr_auc_floor", without("scores.parquet")),
        ("better_than_logistic", rescored(logistic=lambda score: score * 0 + 1, serving=lambda score: 1 - score)),
        ("better_than_logistic", rescored(logistic=one_nan)),
        ("better_than_champion", rescored(serving=lambda score: score * 0 + 0.1)),
        ("better_than_champion", rescored(champion=one_nan)),
        ("better_than_champion", rewritten("champion.json", problem="its inputs x are gone")),
        ("better_than_champion", without("champion.json")),
        ("calibration_error", rescored(serving=lambda score: np.sqrt(score))),
        ("calibration_error", rescored(serving=one_nan)),
        ("onnx_parity", rewritten("parity.json", max_absolute_difference=2e-5)),
        ("onnx_parity", rewritten("parity.json", max_absolute_difference=float("nan"))),
        ("onnx_parity", rewritten("parity.json", max_absolute_difference=None)),
        ("onnx_parity", without("parity.json")),
        ("variant_quality", rescored(serving=lambda score: np.round(score, 1))),
        ("variant_quality", rescored(fp32=one_nan)),
        ("variant_flips", rescored(serving=lambda score: 1 - score)),
        ("variant_flips", rescored(fp32=one_nan)),
        ("variant_flips", rewritten("training.json", threshold=None)),
        ("variant_flips", without("training.json")),
        ("latency", rewritten("latency.json", samples_ms=[1.0] * 980 + [2000.0] * 20)),
        ("latency", rewritten("latency.json", samples_ms=[1.0] * 999)),
        ("latency", rewritten("latency.json", samples_ms=[float("nan")] + [1.0] * 999)),
        ("latency", without("latency.json")),
        ("latency", rewritten("latency.json", problem="the measuring process ended with 1")),
        ("memory", rewritten("latency.json", peak_memory_bytes=600_000_000)),
        ("memory", rewritten("latency.json", peak_memory_bytes=0)),
        ("memory", rewritten("latency.json", peak_memory_bytes=None)),
        ("memory", without("latency.json")),
        ("size", rewritten("latency.json", graph_bytes=101_000_000)),
        ("size", rewritten("latency.json", graph_bytes=None)),
        ("size", without("latency.json")),
        ("recall_floor", rescored(serving=lambda score: score * 0.1)),
        ("recall_floor", rescored(serving=one_nan)),
        ("recall_floor", rewritten("training.json", threshold=float("nan"))),
        ("recall_floor", without("training.json")),
        ("better_than_constant", rescored(serving=lambda score: score * 0 + 0.1)),
        ("better_than_constant", rescored(serving=one_nan)),
        ("better_than_champion", rewritten("draws.json", count=999)),
        ("better_than_champion", without("draws.json")),
        ("better_than_champion", rescored(block=lambda block: block - 1)),
        ("slices", reversed_in_a_slice),
        ("slices", rescored(serving=one_nan)),
        ("slices", rewritten("champion.json", problem="its release is gone")),
        ("slices", without("draws.json")),
        ("slices", without("champion.json")),
        ("golden_kl", of_champion(lambda answers: [1 - answer for answer in answers])),
        ("golden_kl", of_champion(lambda answers: answers[::-1])),
        ("golden_kl", of_champion(lambda answers: [None, *answers[1:]])),
        ("golden_kl", of_champion(lambda answers: [1.5, *answers[1:]])),
        ("golden_kl", of_champion(lambda answers: answers[1:])),
        ("golden_kl", rewritten("golden_answers.json", served=[0.5] * 99, champion=[0.5] * 99)),
        ("golden_kl", rewritten("champion.json", problem="its release is gone")),
        ("golden_kl", without("golden_answers.json")),
        ("golden_stable", again(lambda ways: [{**way, "answers": [a * 0.99 for a in way["answers"]]} for way in ways])),
        ("golden_stable", again(lambda ways: [{**way, "answers": [None] * len(way["answers"])} for way in ways])),
        ("golden_stable", again(lambda ways: [way for way in ways if way["is_optimized"]])),
        ("golden_stable", again(lambda ways: [way for way in ways if way["threads"] == 1])),
        ("golden_stable", again(lambda ways: [way for way in ways if way["batch"] == 1])),
        ("golden_stable", again(lambda ways: [way for way in ways if way["batch"] > 1])),
        ("golden_stable", again(lambda ways: [])),
        ("golden_stable", rewritten("golden_answers.json", problem="the measuring process ended with 1")),
        ("golden_stable", without("golden_answers.json")),
        ("ids_renamed", answered("renamed_ids.parquet", "renamed", one(0.5))),
        ("ids_renamed", answered("renamed_ids.parquet", "answer", one_nan)),
        ("ids_renamed", about("renamed_ids.parquet", renamed=["transaction_id"])),
        ("ids_renamed", without("renamed_ids.parquet")),
        ("amount_direction", answered("raised_amounts.parquet", "times 2", lambda score: score * 0.5)),
        ("amount_direction", answered("raised_amounts.parquet", "times 4", one_nan)),
        ("amount_direction", without_risk("no_risky_merchant")),
        ("amount_direction", rewritten("training.json", threshold=None)),
        ("amount_direction", without("raised_amounts.parquet")),
        ("odd_inputs", answered("odd_inputs.parquet", "answer", one_nan)),
        ("odd_inputs", answered("odd_inputs.parquet", "answer", one(np.inf))),
        ("odd_inputs", answered("odd_inputs.parquet", "answer", one(1.01))),
        ("odd_inputs", answered("odd_inputs.parquet", "answer", one(-0.01))),
        ("odd_inputs", never_asked("value", "infinite")),
        ("odd_inputs", never_asked("value", "nonsense")),
        ("odd_inputs", never_asked("input", "customer_count_1d")),
        ("odd_inputs", without("inputs.json")),
        ("odd_inputs", without("odd_inputs.parquet")),
    ],
)  # fmt: skip
def test_gate_fails_by_bad_or_missing_evidence(evidence: Path, name: str, damage: Damage) -> None:
    damage(evidence)

    found = verdicts(evidence, GATES)

    assert name in named(found, "failed")
    assert not passes(found)


def test_garbage_in_place_of_scores_fails_gates_and_does_not_stop_the_report(evidence: Path) -> None:
    (evidence / "scores.parquet").write_bytes(b"no parquet")

    failed = {name for name, outcome in outcomes(evidence).items() if outcome == "failed"}
    assert failed == {rule.name for rule in RULES if "scores.parquet" in rule.evidence}


def test_weights_within_the_tolerance_are_reproducible(evidence: Path) -> None:
    repeated(kind="within", largest_difference=1e-7, first_step_that_differs=3)(evidence)

    assert outcomes(evidence)["reproducibility"] == "passed"


def test_value_at_the_threshold_passes(evidence: Path) -> None:
    rewritten("parity.json", max_absolute_difference=GATES.max_parity_difference)(evidence)

    assert outcomes(evidence)["onnx_parity"] == "passed"


OUTCOMES = some.sampled_from(["passed", "failed", "not_applicable", "undecided"])


@given(some.lists(OUTCOMES, min_size=len(RULES), max_size=len(RULES)))
def test_report_passes_exactly_when_no_gate_failed(found: list[str]) -> None:
    gates = tuple(
        Gate(rule.name, "", None, None, "at most", 0.0, outcome, "", ())  # type: ignore[arg-type]
        for rule, outcome in zip(RULES, found, strict=True)
    )

    assert passes(gates) == ("failed" not in found)
    assert not passes(gates[1:])  # a gate that was not asked did not pass


def test_too_few_frauds_to_compare_wait_for_a_reviewer(evidence: Path) -> None:
    many = GATES.model_copy(update={"min_frauds_to_compare": 100_000})

    found = verdicts(evidence, many)

    assert passes(found) and named(found, "undecided") == ("better_than_champion", "slices")
    assert "100000 are needed" in the(evidence, "better_than_champion", many).sentence


def test_difference_that_may_lie_on_either_side_of_the_bound_waits_for_a_reviewer(evidence: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.03, 10_000)
    rescored(serving=lambda score: np.clip(score + noise[: len(score)], 0, 1))(evidence)
    low, high = the(evidence, "better_than_champion").interval or (0.0, 0.0)
    assert low < high

    for bound, outcome in ((-low + 0.001, "passed"), (-(low + high) / 2, "undecided"), (-high - 0.001, "failed")):
        settings = GATES.model_copy(update={"max_loss_to_champion": bound})
        assert outcomes(evidence, settings)["better_than_champion"] == outcome


@pytest.mark.parametrize(
    ("case", "names", "damage"),
    [
        ("no_champion", ["better_than_champion", "golden_kl"], rewritten("champion.json", version=None)),
        ("no_merchant_labels", ["amount_direction"], without_risk("no_merchant_labels")),
        ("no_risky_merchant", ["amount_direction"], without_risk("no_risky_merchant")),
    ],
)  # fmt: skip
def test_gate_with_nothing_to_ask_passes_by_only_where_its_case_is_listed(
    evidence: Path, case: str, names: list[str], damage: Damage
) -> None:
    damage(evidence)
    listed, unlisted = (GATES.model_copy(update={"not_applicable": cases}) for cases in ((case,), ()))

    for name in names:
        assert outcomes(evidence, listed)[name] == "not_applicable"
        assert outcomes(evidence, unlisted)[name] == "failed"
        assert f'write not_applicable = ["{case}"] under [gates]' in the(evidence, name, unlisted).sentence
    assert passes(verdicts(evidence, listed)) and not passes(verdicts(evidence, unlisted))


def test_without_a_slice_that_is_large_enough_nothing_is_asked(evidence: Path) -> None:
    large = GATES.model_copy(update={"min_slice_rows": 10_000})

    assert outcomes(evidence, large)["slices"] == "not_applicable"
    assert outcomes(evidence, large.model_copy(update={"not_applicable": ()}))["slices"] == "failed"


def test_without_champion_slices_are_held_against_the_logistic_baseline(evidence: Path) -> None:
    rewritten("champion.json", version=None)(evidence)
    assert outcomes(evidence)["slices"] == "passed"
    assert "the logistic baseline" in the(evidence, "slices").sentence

    rescored(logistic=lambda score: score * 0)(evidence)
    table = pq.read_table(evidence / "scores.parquet")
    rescored(logistic=lambda score: table["serving"].to_numpy())(evidence)
    reversed_in_a_slice(evidence)
    assert outcomes(evidence)["slices"] == "failed"


def test_golden_answers_within_the_bound_are_stable(evidence: Path) -> None:
    again(lambda ways: [{**way, "answers": [a * (1 - CLOSE / 2) for a in way["answers"]]} for way in ways])(evidence)

    assert outcomes(evidence)["golden_stable"] == "passed"


def test_without_champion_its_gates_do_not_apply(made: Stages, tmp_path: Path) -> None:
    report = judged(made, tmp_path / "gates")

    found = {gate["name"]: gate["outcome"] for gate in read_json(tmp_path / "gates" / "gates.json")["gates"]}
    assert report.passed and report.failed == ()
    unasked = {name for name, outcome in found.items() if outcome == "not_applicable"}
    assert unasked == {"better_than_champion", "golden_kl"}
    assert {outcome for name, outcome in found.items() if name not in unasked} == {"passed"}


def test_int8_variant_that_decides_otherwise_fails(tmp_path: Path) -> None:
    made = stages(tmp_path / "home", variant_weight=1.9e-3)

    assert "variant_flips" in judged(made, tmp_path / "gates").failed


def test_pictures_are_small_and_lie_beside_the_evidence(good: Path) -> None:
    report = read_json(good.parent / "gates.json")
    pictures = {gate["name"]: gate["picture"] for gate in report["gates"] if gate["picture"]}

    assert {"slices", "calibration_error", "amount_direction", "latency"} <= pictures.keys()
    for name, picture in pictures.items():
        assert picture == f"evidence/{name}.png"
        content = (good.parent / picture).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) < 60_000
