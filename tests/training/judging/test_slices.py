from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.metrics import pr_auc
from sentinel.slices import (
    LEAST,
    LEAST_ROWS_OF_A_VALUE,
    MISSING,
    MOST_VALUES,
    OTHER,
    Grouping,
    amount_bands,
    new_or_known,
    values_of,
)
from sentinel.training.judging.intervals import Estimate
from sentinel.training.judging.slices import TOO_FEW, judge_slices


def named(grouping: Grouping) -> list[str]:
    return [grouping.names[code] for code in grouping.codes]


def test_slice_is_judged_on_its_own_rows() -> None:
    labels = np.array([True] * 10 + [False] * 30 + [True] * 9 + [False] * 20)
    scores = np.concatenate([np.linspace(0.1, 1, 10), np.linspace(0, 0.57, 30), np.full(29, 0.9)])
    groupings = [Grouping("channel", ("chip", "online", "nobody"), np.array([0] * 40 + [1] * 29))]
    chip, online = judge_slices(groupings, labels, scores, threshold=0.5, days=4, seed=0)

    assert (chip.by, chip.name, chip.rows, chip.frauds) == ("channel", "chip", 40, 10)
    assert chip.alerts_a_day == (6 + 4) / 4
    assert isinstance(chip.recall, Estimate) and chip.recall.value == 0.6
    assert isinstance(chip.false_positive_rate, Estimate) and chip.false_positive_rate.value == pytest.approx(4 / 30)
    assert isinstance(chip.pr_auc, Estimate) and chip.pr_auc.value == pytest.approx(pr_auc(labels[:40], scores[:40]))
    assert (online.frauds, online.recall, online.pr_auc) == (9, TOO_FEW, TOO_FEW)
    assert isinstance(online.false_positive_rate, Estimate) and online.false_positive_rate.value == 1


def test_slice_of_frauds_alone_has_a_recall_and_nothing_else() -> None:
    labels = np.array([True] * LEAST + [False] * 50)
    grouping = values_of("fraud_kind", ["card stolen"], np.where(labels, 0, -1), labels)
    stolen, missing = judge_slices([grouping], labels, np.linspace(1, 0, 60), threshold=0.9, days=1, seed=0)
    assert (stolen.name, stolen.pr_auc, stolen.false_positive_rate) == ("card stolen", TOO_FEW, TOO_FEW)
    assert isinstance(stolen.recall, Estimate)
    assert (missing.name, missing.frauds, missing.recall) == (MISSING, 0, TOO_FEW)


@settings(deadline=None)
@given(st.lists(st.integers(-500, 5000), min_size=1, max_size=50), st.lists(st.integers(-900, 9000), min_size=1))
def test_amount_bands_hold_every_amount_where_they_say(reference: list[int], amounts: list[int]) -> None:
    grouping = amount_bands(np.array(amounts), np.array(reference))
    for amount, name in zip(amounts, named(grouping), strict=True):
        words = name.replace(",", "").split()
        match words:
            case ["up", "to", high]:
                assert amount <= int(high)
            case [low, "to", high]:
                assert int(low) <= amount <= int(high)
            case [low, *_]:
                assert int(low) <= amount


def test_bands_of_amounts_that_are_all_the_same_are_two() -> None:
    assert amount_bands(np.array([5]), np.full(100, 700)).names == ("up to 700", "701 and more")


def test_rare_values_come_together_and_missing_ones_stay_apart() -> None:
    codes = np.array([0] * LEAST_ROWS_OF_A_VALUE + [1] * (LEAST_ROWS_OF_A_VALUE - 1) + [2] * LEAST + [-1] * 7)
    labels = codes == 2  # few rows, but enough frauds
    grouping = values_of("country", ["DE", "FR", "NL"], codes, labels)
    assert grouping.names == ("DE", "NL", OTHER, MISSING)
    assert [named(grouping).count(name) for name in grouping.names] == [
        LEAST_ROWS_OF_A_VALUE, LEAST, LEAST_ROWS_OF_A_VALUE - 1, 7,
    ]  # fmt: skip


def test_most_frequent_values_have_slices_of_their_own() -> None:
    values = [f"city {number:02}" for number in range(MOST_VALUES + 3)]
    codes = np.repeat(np.arange(len(values)), LEAST_ROWS_OF_A_VALUE + np.arange(len(values)))
    grouping = values_of("city", values, codes, np.zeros(len(codes), bool))
    assert grouping.names == (*reversed(values[3:]), OTHER, MISSING)


def test_column_without_any_value_is_one_slice() -> None:
    grouping = values_of("city", [], np.full(30, -1), np.zeros(30, bool))
    (found,) = judge_slices([grouping], np.zeros(30, bool), np.zeros(30), 0.5, 1, 0)
    assert (found.name, found.rows) == (MISSING, 30)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.booleans(), st.floats(0, 1)), min_size=1, max_size=60))
def test_slices_of_a_column_share_all_rows_among_them(rows: list[tuple[int, bool, float]]) -> None:
    codes, labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    groupings = [values_of("column", list("abcd"), codes, labels), new_or_known("customer", codes < 0)]
    found = judge_slices(groupings, labels, scores, 0.5, days=2, seed=0)
    for by in ("column", "customer"):
        own = [each for each in found if each.by == by]
        assert sum(each.rows for each in own) == len(rows)
        assert sum(each.frauds for each in own) == labels.sum()
        assert sum(each.alerts_a_day for each in own) == pytest.approx((scores >= 0.5).sum() / 2)
