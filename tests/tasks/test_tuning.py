"""What a search leaves in MLflow, also when its process was killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from optuna.distributions import FloatDistribution

from sentinel.paths import Paths
from sentinel.training.tuning.folds import Scores
from sentinel.training.tuning.search import Search, Tried
from tasks.tuning import OUTCOME, tracked_search

SETTINGS = {"dropout": 0.3}
SCORES = Scores(roc_auc=0.9, pr_auc=0.7, card_precision_at_100=0.3)


def nothing(settings: object) -> Iterator[Scores]:
    return iter(())


SEARCH = Search("tests", SETTINGS, {"dropout": FloatDistribution(0, 0.6)}, ("one", "two"), nothing, {}, 1)


def ended(number: int, failure: str | None = None) -> Tried:
    return Tried(number, failure is None, SETTINGS, {"one": SCORES}, 1.0, failure)


def test_runs_that_a_killed_process_left_open_are_ended_when_the_search_goes_on(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path / "home")
    uri = f"sqlite:///{paths.mlflow_database}"
    killed = tracked_search(SEARCH, uri, paths, "small")
    before = killed.__enter__()
    before.began(0, SETTINGS)
    before.judged(0, "one", SCORES, SCORES)
    left_open = before.open_run

    with tracked_search(SEARCH, uri, paths, "small") as runs:
        client = runs.client
        assert runs.parent == before.parent and left_open
        assert client.get_run(left_open).info.status == "KILLED"
        assert client.get_run(runs.parent).info.status == "RUNNING"
        runs.began(0, SETTINGS)
        again = str(runs.open_run)
        runs.judged(0, "one", SCORES, SCORES)
        runs.ended(ended(0))
        runs.began(1, SETTINGS)
        failed = str(runs.open_run)
        runs.ended(ended(1, "The loss became nan."))
        runs.status = "FINISHED"
    assert client.get_run(again).data.metrics["pr_auc/one"] == 0.7
    assert [client.get_run(run).info.status for run in (again, failed, runs.parent)] == [
        "FINISHED", "FAILED", "FINISHED",
    ]  # fmt: skip
    assert client.get_run(failed).data.tags[OUTCOME] == "The loss became nan."
    assert client.get_run(runs.parent).data.params["start.dropout"] == "0.3"
