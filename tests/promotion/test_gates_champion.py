"""The candidate beside the champion: who is a fair opponent, and what the comparison says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import FeatureTable
from sentinel.metrics import pr_auc
from sentinel.promotion.layout import Champion
from sentinel.scoring import Scorer
from sentinel.storage import sha256_file, sha256_path
from tests.promotion.standins import NUMERIC, Stages, graph, judged, packaged, read_json, stages


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

    assert (gate["outcome"], gate["value"], gate["interval"]) == ("passed", 0.0, [0.0, 0.0])
    golden = read_json(made.home / "gates" / "evidence" / "golden_answers.json")
    assert golden["champion"] == golden["served"]


def test_candidate_worse_than_the_champion_fails(champion: tuple[Stages, Champion], tmp_path: Path) -> None:
    made = rival(champion, tmp_path)
    graph(made.home / made.candidates.path / "fp32.onnx", amount_weight=-1e-5)
    served = graph(made.home / made.onnx.path / "fp32.onnx", amount_weight=-1e-5)
    worse = replace(made, candidates=replace(made.candidates, model_sha256=sha256_file(served)))

    assert faced(worse, champion[1])["outcome"] == "failed"


def test_champion_that_learned_from_the_test_rows_leaves_the_question_to_a_reviewer(
    champion: tuple[Stages, Champion], tmp_path: Path
) -> None:
    made = rival(champion, tmp_path, days=-30)
    gate = faced(made, champion[1])

    assert (gate["outcome"], gate["value"]) == ("undecided", None)
    assert "0 frauds" in gate["sentence"] and "until 2026-03-06 00:00 UTC" in gate["sentence"]
    report = read_json(made.home / "gates" / "gates.json")
    assert report["passed"] and report["undecided"] == ["better_than_champion", "slices"]


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
    assert gate["value"] == pytest.approx(gain)
    low, high = gate["interval"]
    assert low < gain < high


def test_champion_with_another_feature_set_and_no_table_of_its_own_fails_the_gate(
    champion: tuple[Stages, Champion], tmp_path: Path
) -> None:
    made = rival(champion, tmp_path, days=30)
    with_other_features(made)

    gate = faced(made, champion[1])

    assert (gate["outcome"], gate["value"]) == ("failed", None)
