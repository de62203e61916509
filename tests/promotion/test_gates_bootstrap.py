"""The paired bootstrap: exact again by its seed, as wide as it must be, and no judge of what it cannot see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sentinel.metrics import pr_auc
from sentinel.promotion.evidence import Evidence
from sentinel.promotion.gates import Gate, verdicts
from sentinel.promotion.measures.bootstrap import draw_weights, drawn_pr_auc, interval_of
from sentinel.promotion.measures.of_champion import against_champion, drawn_gains, weights_of
from tests.promotion.standins import GATES

ROWS, BLOCKS = 3000, 400
DRAWN_WITH_SEED_7 = [[0, 3, 0, 1], [1, 1, 2, 2], [3, 1, 0, 2], [0, 2, 0, 0], [0, 0, 1, 0]]
SEEDS = some.integers(0, 2**32 - 1)


def rows(seed: int, rate: float = 0.05) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores that tell something of them, and the block of each row."""
    random = np.random.default_rng(seed)
    labels = random.random(ROWS) < rate
    labels[:2] = True, False
    return labels, np.clip(labels * 0.3 + random.random(ROWS) * 0.7, 0, 1), random.integers(0, BLOCKS, ROWS)


def compared(folder: Path, own: np.ndarray, other: np.ndarray, labels: np.ndarray, blocks: np.ndarray) -> Gate:
    """better_than_champion, by evidence of these rows alone."""
    columns = {"is_fraud": labels, "serving": own, "champion": other, "block": blocks}
    pq.write_table(pa.table(columns), folder / "scores.parquet")
    facts = {"version": "4", "problem": None, "rows": len(labels), "learned_until": "2026-03-06 00:00 UTC"}
    (folder / "champion.json").write_text(json.dumps(facts))
    (folder / "draws.json").write_text(json.dumps({"seed": 11, "count": 1000}))
    return next(gate for gate in verdicts(folder, GATES) if gate.name == "better_than_champion")


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_one_seed_gives_the_same_draws_and_another_seed_others(seed: int) -> None:
    weights = draw_weights(BLOCKS, 50, seed)

    assert np.array_equal(weights, draw_weights(BLOCKS, 50, seed))
    assert not np.array_equal(weights, draw_weights(BLOCKS, 50, seed + 1))


def test_draws_are_those_of_every_machine_and_every_numpy() -> None:
    assert draw_weights(5, 4, 7).tolist() == DRAWN_WITH_SEED_7


def test_a_block_is_drawn_as_often_as_poisson_says() -> None:
    weights = draw_weights(1000, 1000, 3)

    assert weights.mean() == pytest.approx(1, abs=0.01) and weights.var() == pytest.approx(1, abs=0.01)
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.002)


@settings(max_examples=15, deadline=None)
@given(SEEDS, some.sampled_from([1, 3, 1000]))
def test_a_draw_judges_each_row_as_often_as_it_was_drawn(seed: int, levels: int) -> None:
    labels, scores, blocks = rows(seed)
    scores = np.round(scores * levels) / levels
    weights = draw_weights(BLOCKS, 5, seed)

    drawn = drawn_pr_auc(labels, scores, blocks, weights)

    for draw in range(5):
        taken = np.repeat(np.arange(ROWS), weights[blocks, draw])
        assert drawn[draw] == pytest.approx(pr_auc(labels[taken], scores[taken]))


def test_frauds_of_one_card_widen_the_interval() -> None:
    """A hundred cards with eight frauds of one score each are a hundred stories, not eight hundred."""
    random = np.random.default_rng(5)
    cards = np.repeat(np.arange(100), 8)
    labels = np.append(np.ones(800, bool), np.zeros(8000, bool))
    scores = np.append(random.random(100)[cards], random.random(8000) * 0.8)
    by_card = np.append(cards, np.arange(100, 8100) % 5000)
    spread = {
        name: drawn_pr_auc(labels, scores, blocks, draw_weights(int(blocks.max()) + 1, 400, 1)).std()
        for name, blocks in (("cards", by_card), ("rows", np.arange(8800)))
    }

    assert spread["cards"] > 1.5 * spread["rows"]


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_equal_scores_are_equivalent_whatever_the_rows(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    labels, scores, blocks = rows(seed)

    gate = compared(tmp_path_factory.mktemp("equal"), scores, scores, labels, blocks)

    assert (gate.outcome, gate.value, gate.interval) == ("passed", 0.0, (0.0, 0.0))


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_scores_that_tell_nothing_fail_against_scores_that_do(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    labels, scores, blocks = rows(seed)
    folder = tmp_path_factory.mktemp("worse")

    gate = compared(folder, np.random.default_rng(seed).random(ROWS), scores, labels, blocks)
    assert gate.outcome == "failed"
    assert compared(folder, scores, np.random.default_rng(seed).random(ROWS), labels, blocks).outcome == "passed"


def test_too_few_frauds_are_undecided_even_where_scores_are_equal(tmp_path: Path) -> None:
    labels, scores, blocks = rows(1)
    labels[np.flatnonzero(labels)[GATES.min_frauds_to_compare - 1 :]] = False

    assert compared(tmp_path, scores, scores, labels, blocks).outcome == "undecided"


def test_the_same_evidence_gives_the_same_gate_to_the_last_digit(tmp_path: Path) -> None:
    labels, scores, blocks = rows(2)
    noisy = np.clip(scores + np.random.default_rng(9).normal(0, 0.05, ROWS), 0, 1)

    gate = compared(tmp_path, noisy, scores, labels, blocks)

    assert gate == compared(tmp_path, noisy, scores, labels, blocks)
    evidence = Evidence(tmp_path, GATES)
    gain, drawn = drawn_gains(against_champion(evidence), weights_of(evidence))
    assert gate.interval == (gain.low, gain.high)
    assert len(drawn) == 1000 and gain.low <= np.median(drawn) <= gain.high


def test_draws_without_a_fraud_have_no_figure_and_too_many_of_them_no_interval() -> None:
    labels = np.array([True, False, False, False])
    weights = draw_weights(4, 200, 1)

    drawn = drawn_pr_auc(labels, np.array([0.4, 0.3, 0.2, 0.1]), np.arange(4), weights)

    assert np.isnan(drawn[weights[0] == 0]).all() and np.isfinite(drawn[weights[0] > 0]).all()
    with pytest.raises(ValueError, match="draws have frauds"):
        interval_of(0.5, drawn)
