"""Every gate passes and fails by its evidence, and fails without it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sentinel.artifacts import FeatureTable
from sentinel.metrics import pr_auc
from sentinel.promotion.gates import RULES, Gate, passes, verdicts
from sentinel.promotion.layout import Champion
from sentinel.scoring import Scorer
from sentinel.storage import sha256_file, sha256_path
from tests.promotion.standins import GATES, NUMERIC, REPEATED, Stages, graph, judged, packaged, read_json, stages

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
    (evidence / "champion.json").write_text(json.dumps({"version": "1", "problem": None, "rows": table.num_rows}))
    return evidence


@pytest.fixture
def evidence(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "evidence"))


def outcomes(evidence: Path) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in verdicts(evidence, GATES)}


def rescored(**columns: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(evidence: Path) -> None:
        table = pq.read_table(evidence / "scores.parquet")
        for name, change in columns.items():
            values = change(table[name].to_numpy().astype(np.float32))
            table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float32()))
        pq.write_table(table, evidence / "scores.parquet")

    return damage


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


def one_nan(values: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(values)) == 3, np.nan, values)


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
    ],
)  # fmt: skip
def test_gate_fails_by_bad_or_missing_evidence(evidence: Path, name: str, damage: Damage) -> None:
    damage(evidence)

    assert outcomes(evidence)[name] == "failed"
    assert not passes(verdicts(evidence, GATES))


def test_garbage_in_place_of_scores_fails_gates_and_does_not_stop_the_report(evidence: Path) -> None:
    (evidence / "scores.parquet").write_bytes(b"no parquet")

    assert list(outcomes(evidence).values()).count("failed") == 6


def test_weights_within_the_tolerance_are_reproducible(evidence: Path) -> None:
    repeated(kind="within", largest_difference=1e-7, first_step_that_differs=3)(evidence)

    assert outcomes(evidence)["reproducibility"] == "passed"


def test_value_at_the_threshold_passes(evidence: Path) -> None:
    rewritten("parity.json", max_absolute_difference=GATES.max_parity_difference)(evidence)

    assert outcomes(evidence)["onnx_parity"] == "passed"


@given(some.lists(some.sampled_from(["passed", "failed", "not_applicable"]), min_size=len(RULES), max_size=len(RULES)))
def test_report_passes_exactly_when_no_gate_failed(found: list[str]) -> None:
    gates = tuple(
        Gate(rule.name, "", None, "at most", 0.0, outcome, "", ())  # type: ignore[arg-type]
        for rule, outcome in zip(RULES, found, strict=True)
    )

    assert passes(gates) == ("failed" not in found)
    assert not passes(gates[1:])  # a gate that was not asked did not pass


def test_without_champion_its_gate_does_not_apply(made: Stages, tmp_path: Path) -> None:
    report = judged(made, tmp_path / "gates")

    found = {gate["name"]: gate["outcome"] for gate in read_json(tmp_path / "gates" / "gates.json")["gates"]}
    assert report.passed and report.failed == ()
    assert found["better_than_champion"] == "not_applicable"
    assert {outcome for name, outcome in found.items() if name != "better_than_champion"} == {"passed"}


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stages, Champion]:
    """A released champion, and the home that its rivals share."""
    made, _, release = packaged(stages(tmp_path_factory.mktemp("champion") / "home"))
    return made, Champion("1", release.path, release.model_sha256, made.table.feature_set_hash)


def rival(champion: tuple[Stages, Champion], folder: Path, *, days: int = 0, amount_weight: float = 1.5e-3) -> Stages:
    """A candidate in a home of its own that holds a copy of the champion's release."""
    home = folder / "home"
    shutil.copytree(champion[0].home / "releases", home / "releases")
    return stages(home, days=days, amount_weight=amount_weight)


def faced(made: Stages, champion: Champion, champion_table: FeatureTable | None = None) -> dict[str, str]:
    judged(made, made.home / "gates", champion, champion_table=champion_table)
    gates = read_json(made.home / "gates" / "gates.json")["gates"]
    return next(gate for gate in gates if gate["name"] == "better_than_champion")


def test_champion_is_scored_on_the_candidates_rows(champion: tuple[Stages, Champion], tmp_path: Path) -> None:
    made = rival(champion, tmp_path, days=30)

    gate = faced(made, champion[1])

    assert (gate["outcome"], gate["value"]) == ("passed", 0.0)


def test_candidate_worse_than_the_champion_fails(champion: tuple[Stages, Champion], tmp_path: Path) -> None:
    made = rival(champion, tmp_path)
    graph(made.home / made.candidates.path / "fp32.onnx", amount_weight=-1e-5)
    served = graph(made.home / made.onnx.path / "fp32.onnx", amount_weight=-1e-5)
    worse = replace(made, candidates=replace(made.candidates, model_sha256=sha256_file(served)))

    assert faced(worse, champion[1])["outcome"] == "failed"


def test_champion_that_learned_from_the_test_rows_is_no_fair_opponent(
    champion: tuple[Stages, Champion], tmp_path: Path
) -> None:
    gate = faced(rival(champion, tmp_path, days=-30), champion[1])

    assert (gate["outcome"], gate["value"]) == ("failed", None)
    assert "it learned until 2026-03-06" in gate["sentence"]


def test_champion_is_compared_on_the_rows_after_all_it_learned_from(
    champion: tuple[Stages, Champion], tmp_path: Path
) -> None:
    made = rival(champion, tmp_path, days=-3)

    gate = faced(made, champion[1])

    facts = read_json(made.home / "gates" / "evidence" / "champion.json")
    assert gate["outcome"] == "passed"
    assert facts["rows_left_out"] > 0 and facts["rows"] + facts["rows_left_out"] == made.splits.rows["test"]


def test_champion_whose_release_is_gone_fails_the_gate(champion: tuple[Stages, Champion], tmp_path: Path) -> None:
    gate = faced(stages(tmp_path / "home"), champion[1])

    assert gate["outcome"] == "failed"
    assert "its release is gone" in gate["sentence"]


@pytest.mark.parametrize("change", ["gone", "other window"])
def test_champion_whose_features_changed_fails_the_gate(
    champion: tuple[Stages, Champion], tmp_path: Path, change: str
) -> None:
    made = rival(champion, tmp_path, days=30)
    if change == "gone":
        (made.home / "export" / "inputs.json").write_text(
            json.dumps({"numeric": ["amount_minor"] * 4, "categorical": []})
        )
        file = made.home / "features" / "features.parquet"
        pq.write_table(pq.read_table(file).drop_columns(["customer_count_1d"]), file)
    else:
        file = made.home / "features" / "feature_set.json"
        file.write_text(file.read_text().replace("86400000000", "172800000000"))

    gate = faced(made, champion[1])

    assert gate["outcome"] == "failed"
    assert "customer_count_1d" in gate["sentence"]


def with_other_features(made: Stages) -> FeatureTable:
    """Give the candidate features of another window; the champion's own table of the same transactions."""
    own = made.home / "champion_features"
    shutil.copytree(made.home / "features", own)
    table = pq.read_table(made.home / "features" / "features.parquet")
    position = table.schema.get_field_index("customer_count_1d")
    counted = pa.array(np.full(table.num_rows, 3))
    renamed = table.set_column(position, "customer_count_2d", counted)
    pq.write_table(renamed, made.home / "features" / "features.parquet")
    for file in (made.home / "features" / "feature_set.json", made.home / "export" / "inputs.json"):
        text = file.read_text().replace("customer_count_1d", "customer_count_2d")
        file.write_text(text.replace("86400000000", "172800000000").replace("f" * 64, "e" * 64))
    return FeatureTable(
        path="champion_features", sha256=sha256_path(own), rows=table.num_rows, feature_set_hash="f" * 64
    )


def test_champion_with_another_feature_set_is_scored_on_its_own_features(
    champion: tuple[Stages, Champion], tmp_path: Path
) -> None:
    made = rival(champion, tmp_path, days=30)
    own = with_other_features(made)

    gate = faced(made, champion[1], own)

    scored = pq.read_table(made.home / "gates" / "evidence" / "scores.parquet")
    table = pq.read_table(made.home / own.path / "features.parquet").to_pandas()
    rows = table.set_index("transaction_id").loc[scored["transaction_id"].to_numpy()]
    numeric = rows.assign(event_timestamp=0)[list(NUMERIC)].to_numpy(np.float64)
    answers = Scorer(made.home / champion[1].release_path / "model.onnx").score(numeric)
    np.testing.assert_array_equal(scored["champion"].to_numpy(), answers)
    assert (scored["champion"].to_numpy() != scored["serving"].to_numpy()).any()
    labels = scored["is_fraud"].to_numpy()
    gain = pr_auc(labels, scored["serving"].to_numpy()) - pr_auc(labels, answers)
    assert gate["value"] == pytest.approx(gain) and gate["outcome"] == ("passed" if gain >= -0.005 else "failed")


def test_champion_with_another_feature_set_and_no_table_of_its_own_fails_the_gate(
    champion: tuple[Stages, Champion], tmp_path: Path
) -> None:
    made = rival(champion, tmp_path, days=30)
    with_other_features(made)

    gate = faced(made, champion[1])

    assert (gate["outcome"], gate["value"]) == ("failed", None)


def test_int8_variant_that_decides_otherwise_fails(tmp_path: Path) -> None:
    made = stages(tmp_path / "home", variant_weight=1.9e-3)

    assert "variant_flips" in judged(made, tmp_path / "gates").failed
