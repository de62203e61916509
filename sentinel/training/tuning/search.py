"""The search for better settings, fold by fold, in a database that survives the process.

Trial n is drawn by a sampler seeded with (seed, n) from the trials finished before it. So a search that was killed
goes on with the very trials of one that was not: what was running then is drawn again, the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.progress import Progress, silent
from sentinel.storage import sha256_json
from sentinel.training.tuning.folds import FoldedRows, Scores, fit_and_judge, mean

Settings = Mapping[str, Any]

# Where better settings of the network are looked for. It is widened to the settings that a search starts with.
SPACE: Mapping[str, BaseDistribution] = {
    "epochs": IntDistribution(8, 40),
    "batch_size": CategoricalDistribution((128, 256, 512, 1024)),
    "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
    "weight_decay": FloatDistribution(1e-4, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.6),
    "width": IntDistribution(64, 640, step=64),
    "layers": IntDistribution(1, 4),
    "bins": IntDistribution(8, 128, log=True),
    "genuine_per_fraud": IntDistribution(5, 120, log=True),
}

FEW_TRIALS = 5  # complete ones, before any is stopped early
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_SCORES, _FAILURE = "scores", "failure"  # what a trial keeps beside its settings


@dataclass(frozen=True)
class Search:
    """What is searched: `judge` yields the figures of one fold after the other, as far as it is asked.

    `judged_on`: digests of everything else that the figures depend on; with other ones it is another search.
    """

    title: str
    start: Settings
    space: Mapping[str, BaseDistribution]
    folds: Sequence[str]
    judge: Callable[[Settings], Iterator[Scores]]
    judged_on: Mapping[str, Any]
    seed: int

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {name: _holding(where, self.start[name]) for name, where in self.space.items()}

    @property
    def name(self) -> str:
        space = {name: optuna.distributions.distribution_to_json(each) for name, each in self.distributions.items()}
        facts = [dict(self.start), space, list(self.folds), dict(self.judged_on), self.seed]
        return f"{self.title}-{sha256_json(facts)[:12]}"


@dataclass(frozen=True)
class Tried:
    """`scores`: by fold, as far as it came. `failure`: why training failed, if it did."""

    number: int
    is_complete: bool
    settings: Settings
    scores: Mapping[str, Scores]
    seconds: float
    failure: str | None

    @property
    def mean(self) -> Scores | None:
        return mean(list(self.scores.values())) if self.scores else None


class Watcher(Protocol):
    """Who is told of the trials as they go."""

    def began(self, number: int, settings: Settings) -> None: ...
    def judged(self, step: int, fold: str, scores: Scores, so_far: Scores) -> None: ...
    def ended(self, tried: Tried) -> None: ...


@dataclass(frozen=True)
class Found:
    """The finished trials, best first: the complete ones by their mean pr_auc, then those that were stopped."""

    search: Search
    tried: Sequence[Tried] = field(default_factory=list["Tried"])
    was_interrupted: bool = False

    @property
    def best(self) -> Tried | None:
        return self.tried[0] if self.tried and self.tried[0].is_complete else None


def network_search(data: FoldedRows, settings: Training, judged_on: Mapping[str, Any], *, title: str) -> Search:
    """Settings of the network, by its mean pr_auc over the folds; what SPACE does not name stays as it is."""
    fixed = settings.model_dump(mode="json")

    def judge(tried: Settings) -> Iterator[Scores]:
        changed = Training.model_validate({**fixed, **tried})
        for fold in data.folds:
            yield fit_and_judge(data, fold, changed, settings.seed)

    start = {name: fixed[name] for name in SPACE}
    rest = {name: value for name, value in fixed.items() if name not in SPACE}
    folds = [fold.name for fold in data.folds]
    return Search(title, start, SPACE, folds, judge, {**judged_on, "rest": rest}, settings.seed)


def search(
    wanted: Search,
    database: Path,
    *,
    trials: int,
    minutes: float | None = None,
    watcher: Watcher | None = None,
    progress: Progress = silent,
) -> Found:
    """Try settings until the database has `trials` finished trials, or no new one begins after `minutes`.

    The caller is the only one who works on this search. Ctrl-C ends it as if it were killed, and well.
    Raises TrainingFailed when the settings it starts with cannot be trained.
    """
    study = _open(wanted, database)
    until = None if minutes is None else time.monotonic() + 60 * minutes
    was_interrupted = False
    try:
        while (done := len(_finished(study))) < trials and (until is None or time.monotonic() < until):
            progress(done, trials, _doing(study))
            _try_one(study, wanted, done, watcher)
    except KeyboardInterrupt:
        was_interrupted = True
        _end_unfinished(study)
    tried = [_tried(trial, number) for number, trial in enumerate(_finished(study))]
    return Found(wanted, sorted(tried, key=_rank), was_interrupted)


def _open(wanted: Search, database: Path) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=wanted.name, storage=f"sqlite:///{database}", direction="maximize", pruner=_BelowMedian(),
        load_if_exists=True,
    )  # fmt: skip
    _end_unfinished(study)
    return study


def _end_unfinished(study: Study) -> None:
    """What was running when a process ended counts as failed, and is drawn again."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _try_one(study: Study, wanted: Search, number: int, watcher: Watcher | None) -> None:
    study.sampler = TPESampler(seed=int(sha256_json([wanted.seed, number])[:8], 16))
    if number == 0 and not study.get_trials(states=(TrialState.WAITING,)):
        study.enqueue_trial({name: wanted.start[name] for name in wanted.space})
    trial = study.ask(wanted.distributions)
    if watcher:
        watcher.began(number, trial.params)
    state, value = _judge(trial, wanted, number, watcher)
    ended = study.tell(trial, value if state == TrialState.COMPLETE else None, state)
    if watcher:
        watcher.ended(_tried(ended, number))


def _judge(trial: Trial, wanted: Search, number: int, watcher: Watcher | None) -> tuple[TrialState, float]:
    """Every fold, or as many as it takes to see that others are better."""
    scores: dict[str, Scores] = {}
    so_far = 0.0
    try:
        for step, (fold, found) in enumerate(zip(wanted.folds, wanted.judge(trial.params), strict=False)):
            scores[fold] = found
            trial.set_user_attr(_SCORES, {name: each.to_dict() for name, each in scores.items()})
            middle = mean(list(scores.values()))
            so_far = middle.pr_auc
            trial.report(so_far, step)
            if watcher:
                watcher.judged(step, fold, found, middle)
            if step + 1 < len(wanted.folds) and trial.should_prune():
                return TrialState.PRUNED, so_far
    except TrainingFailed as error:
        if number == 0:
            raise
        trial.set_user_attr(_FAILURE, str(error))
        trial.report(0.0, len(scores))  # the worst there is, so that the search keeps away
        return TrialState.PRUNED, so_far
    return TrialState.COMPLETE, so_far


class _BelowMedian(BasePruner):
    """Stop a trial whose mean over its folds is below the median of the complete trials over the same folds.

    Not Optuna's MedianPruner: that one takes the best of a trial's steps, which an easy first fold decides.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        others = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        step = trial.last_step
        if step is None or len(others) < FEW_TRIALS:
            return False
        return trial.intermediate_values[step] < median(each.intermediate_values[step] for each in others)


def _holding(where: BaseDistribution, value: Any) -> BaseDistribution:
    """The distribution, widened where it does not contain `value`."""
    if isinstance(where, CategoricalDistribution):
        return CategoricalDistribution(tuple(dict.fromkeys((*where.choices, value))))
    if isinstance(where, FloatDistribution):
        return FloatDistribution(min(where.low, value), max(where.high, value), log=where.log and value > 0)
    ranged = cast(IntDistribution, where)
    low, high = min(ranged.low, value), max(ranged.high, value)
    return IntDistribution(low, high, log=ranged.log, step=1 if (value - ranged.low) % ranged.step else ranged.step)


def _finished(study: Study) -> list[FrozenTrial]:
    return study.get_trials(states=FINISHED)


def _tried(trial: FrozenTrial, number: int) -> Tried:
    stored = cast("dict[str, dict[str, float]]", trial.user_attrs.get(_SCORES, {}))
    length = trial.duration
    return Tried(
        number=number,
        is_complete=trial.state == TrialState.COMPLETE,
        settings=dict(trial.params),
        scores={name: Scores(**each) for name, each in stored.items()},
        seconds=length.total_seconds() if length else 0.0,
        failure=trial.user_attrs.get(_FAILURE),
    )


def _rank(tried: Tried) -> tuple[bool, float]:
    return (not tried.is_complete, -(tried.mean.pr_auc if tried.mean else 0.0))


def _doing(study: Study) -> str:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return f"best pr_auc so far {max(cast(float, trial.value) for trial in complete):.4f}" if complete else "the start"
