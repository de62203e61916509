"""The search itself, on figures that a formula gives: which settings it tries, what it stops, and how it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.training.tuning.folds import Scores
from sentinel.training.tuning.search import FEW_TRIALS, SPACE, Found, Search, Tried, search

FOLDS = ("one", "two", "three")
EASE = (0.3, 0.1, 0.2)  # the first fold is the easiest
TABLE = {"x": FloatDistribution(0.01, 1.0, log=True), "n": IntDistribution(1, 9), "k": CategoricalDistribution((1, 2))}
START = {"x": 0.5, "n": 3, "k": 2}


def figures(tried: Mapping[str, Any]) -> Iterator[Scores]:
    quality = 0.5 - abs(tried["x"] - 0.2) / 3 + tried["n"] / 100
    for ease in EASE:
        yield Scores(roc_auc=0.9, pr_auc=quality + ease, card_precision_at_100=0.3)


def wanted(judge: Any = figures, **changed: Any) -> Search:
    facts: dict[str, Any] = {"start": START, "space": TABLE, "judged_on": {"table": "a"}, "seed": 4, **changed}
    return Search("tests", folds=FOLDS, judge=judge, **facts)


def told(found: Found) -> list[tuple[int, Mapping[str, Any], Mapping[str, Scores]]]:
    return sorted(((tried.number, tried.settings, tried.scores) for tried in found.tried), key=lambda trial: trial[0])


def dying(trial: int, fold: int) -> Any:
    """A judge whose process is killed in this fold of the trial that is the so-manieth to begin."""
    begun = 0

    def judge(tried: Mapping[str, Any]) -> Iterator[Scores]:
        nonlocal begun
        begun += 1
        for number, scores in enumerate(figures(tried)):
            if (begun - 1, number) == (trial, fold):
                os.kill(os.getpid(), signal.SIGKILL)
            yield scores

    return judge


def test_first_trial_is_what_one_starts_with_and_the_best_comes_first(tmp_path: Path) -> None:
    found = search(wanted(), tmp_path / "db", trials=7)
    assert told(found)[0][1] == START
    complete = [tried for tried in found.tried if tried.is_complete]
    means = [tried.mean.pr_auc for tried in complete if tried.mean]
    assert found.best == complete[0] and len(means) >= FEW_TRIALS
    assert means == sorted(means, reverse=True)


def test_search_that_is_killed_goes_on_with_the_trials_of_one_that_was_not(tmp_path: Path) -> None:
    trials = 12  # more than the sampler draws at random
    whole = search(wanted(), tmp_path / "whole", trials=trials)
    for trial, fold in ((0, 0), (0, 2), (4, 1), (7, 0)):  # the so-manieth trial of each process
        killed = get_context("fork").Process(
            target=search, args=(wanted(dying(trial, fold)), tmp_path / "killed"), kwargs={"trials": trials}
        )
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
    resumed = search(wanted(), tmp_path / "killed", trials=trials)
    assert told(resumed) == told(whole)


def test_ended_search_is_not_begun_again(tmp_path: Path) -> None:
    before = search(wanted(), tmp_path / "db", trials=4)

    def refuse(tried: Mapping[str, Any]) -> Iterator[Scores]:
        raise AssertionError("nothing is to be tried")

    assert told(search(wanted(refuse), tmp_path / "db", trials=4)) == told(before)


def test_trials_on_something_else_are_another_search(tmp_path: Path) -> None:
    search(wanted(), tmp_path / "db", trials=2)
    others: list[dict[str, Any]] = [{"judged_on": {"table": "b"}}, {"seed": 5}, {"start": {**START, "n": 4}}]
    for other in others:
        assert len(search(wanted(**other), tmp_path / "db", trials=1).tried) == 1


def test_trial_below_the_median_is_stopped_after_a_fold(tmp_path: Path) -> None:
    asked: list[int] = []

    def worse_and_worse(tried: Mapping[str, Any]) -> Iterator[Scores]:
        asked.append(0)
        for ease in EASE:
            asked[-1] += 1
            yield Scores(0.9, 0.6 - 0.01 * len(asked) + ease, 0.3)

    found = search(wanted(worse_and_worse), tmp_path / "db", trials=FEW_TRIALS + 3)
    assert asked == [3] * FEW_TRIALS + [1] * 3
    assert sum(tried.is_complete for tried in found.tried) == FEW_TRIALS
    assert [tried.is_complete for tried in found.tried] == [True] * FEW_TRIALS + [False] * 3


def test_good_trial_is_not_stopped_because_its_later_folds_are_harder(tmp_path: Path) -> None:
    found = search(wanted(lambda tried: iter([Scores(0.9, ease, 0.3) for ease in EASE])), tmp_path / "db", trials=8)
    assert all(tried.is_complete for tried in found.tried)


def test_settings_that_cannot_be_trained_count_as_the_worst(tmp_path: Path) -> None:
    def fails_at_large_x(tried: Mapping[str, Any]) -> Iterator[Scores]:
        if tried["x"] < 0.5:
            raise TrainingFailed("The loss became nan.")
        yield from figures(tried)

    found = search(wanted(fails_at_large_x), tmp_path / "db", trials=12)
    failed = [tried for tried in found.tried if tried.failure]
    assert failed and failed[0].failure == "The loss became nan."
    assert len(found.tried) == 12 and found.best is not None and found.best.settings["x"] >= 0.5


def test_start_that_cannot_be_trained_is_told(tmp_path: Path) -> None:
    def fails(tried: Mapping[str, Any]) -> Iterator[Scores]:
        raise TrainingFailed("There is no GPU.")
        yield

    with pytest.raises(TrainingFailed, match="no GPU"):
        search(wanted(fails), tmp_path / "db", trials=3)


def test_ctrl_c_ends_with_what_was_found(tmp_path: Path) -> None:
    begun = 0

    def interrupted(tried: Mapping[str, Any]) -> Iterator[Scores]:
        nonlocal begun
        begun += 1
        for scores in figures(tried):
            if begun == 4:
                raise KeyboardInterrupt
            yield scores

    found = search(wanted(interrupted), tmp_path / "db", trials=10)
    assert found.was_interrupted and len(found.tried) == 3
    assert told(search(wanted(), tmp_path / "db", trials=5)) == told(search(wanted(), tmp_path / "other", trials=5))


def test_no_trial_begins_when_the_time_is_over(tmp_path: Path) -> None:
    assert search(wanted(), tmp_path / "db", trials=10, minutes=0).best is None


def test_watcher_hears_of_every_fold(tmp_path: Path) -> None:
    heard: list[tuple[str, Any]] = []

    class Listener:
        def began(self, number: int, settings: Mapping[str, Any]) -> None:
            heard.append(("began", number))

        def judged(self, step: int, fold: str, scores: Scores, so_far: Scores) -> None:
            heard.append((fold, round(so_far.pr_auc - scores.pr_auc, 6)))

        def ended(self, tried: Tried) -> None:
            heard.append(("ended", tried.number))

    search(wanted(), tmp_path / "db", trials=1, watcher=Listener())
    assert heard == [("began", 0), ("one", 0), ("two", 0.1), ("three", 0), ("ended", 0)]


def test_every_name_of_the_space_is_a_setting_of_training() -> None:
    assert set(SPACE) <= set(Training.model_fields)


@settings(max_examples=50, deadline=None)
@given(
    x=st.floats(0, 10), n=st.integers(-20, 40), k=st.integers(0, 5), low=st.integers(1, 5), step=st.integers(1, 4)
)  # fmt: skip
def test_space_always_holds_the_start(x: float, n: int, k: int, low: int, step: int) -> None:
    space = {**TABLE, "n": IntDistribution(low, low + 3 * step, step=step)}
    held = wanted(start={"x": x, "n": n, "k": k}, space=space).distributions
    assert all(
        held[name]._contains(held[name].to_internal_repr(value)) for name, value in {"x": x, "n": n, "k": k}.items()
    )
