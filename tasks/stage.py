"""A stage as a Prefect task: its cache key, retries, timeout, progress and record.

A stage is not run again while everything it depends on is unchanged: its inputs' digests, its sections of the
configuration, its code and the lock file. A stored output counts only while its digest holds.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from prefect import Task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from pydantic import BaseModel

from sentinel.artifacts import Artifact
from sentinel.errors import ServiceUnavailable
from sentinel.progress import Progress
from sentinel.storage import remove_leftovers, sha256_file, sha256_json
from tasks.events import StageAdvanced, StageEnded, StageStarted, current_stage, listener
from tasks.run import Run, StageRecord

Output = TypeVar("Output", bound=Artifact)
Inputs = ParamSpec("Inputs")

# What every stage's result depends on, besides its own folders.
SHARED_CODE = ("sentinel/artifacts.py", "sentinel/config.py", "sentinel/storage.py", "tasks/stage.py")
_PROGRESS_PAUSE_S = 2.0

logger = logging.getLogger("sentinel.stage")


@dataclass(frozen=True)
class Work:
    """What a stage's body is handed besides its inputs."""

    run: Run
    out: Path
    progress: Progress


def _always(run: Run, output: Any) -> bool:
    return True


@dataclass(frozen=True)
class Stage(Generic[Inputs, Output]):
    """Call it with the run and the artifacts it works on; it returns the artifact it made, or made before."""

    name: str
    body: Callable[Concatenate[Work, Inputs], Output]
    code: tuple[str, ...]
    settings: Callable[[Run], list[Any]]
    timeout: timedelta
    retries: int = 0
    is_cached: bool = True
    is_still_there: Callable[[Run, Output], bool] = _always

    def __call__(self, run: Run, *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output:
        key = self.key(run, *args, **kwargs)
        listener.get()(StageStarted(self.name))
        started = time.monotonic()
        token = current_stage.set(self.name)
        outcome = "failed"
        try:
            output, is_cached = self._execute(run, key, lambda work: self.body(work, *args, **kwargs))
            outcome = "cached" if is_cached else "done"
            return output
        finally:
            seconds = time.monotonic() - started
            run.stages.append(StageRecord(self.name, round(seconds, 3), outcome == "cached"))
            logger.info("%s: %s in %.1f s", self.name, outcome, seconds)
            listener.get()(StageEnded(self.name, seconds, outcome))
            current_stage.reset(token)

    def key(self, run: Run, *args: Inputs.args, **kwargs: Inputs.kwargs) -> str:
        """The cache key: a digest over everything the output depends on."""
        return sha256_json(
            {
                "stage": self.name,
                "name": run.config.name,
                "inputs": [_describe(value) for value in (*args, *kwargs.values())],
                "settings": [_describe(value) for value in self.settings(run)],
                "code": sha256_json(self.code_files(run.paths.root)),
                "lock": run.lock_sha256,
            }
        )

    def code_files(self, root: Path) -> dict[str, str]:
        """sha256 of each source file that the output depends on, by its path from `root`."""
        return _digests(root, (*SHARED_CODE, f"tasks/{self.name}.py", *self.code))

    def _execute(self, run: Run, key: str, bound: Callable[[Work], Output]) -> tuple[Output, bool]:
        """Let Prefect call `bound` or find its stored result; returns the output and whether it was stored."""

        def body(key: str) -> Output:
            out = run.paths.stage(run.config.name, self.name, key)
            remove_leftovers(out)  # one run at a time writes here: they are those of a killed one
            with _reported_progress(self.name) as progress:
                return bound(Work(run, out, progress))

        stage_task = self._task(body)
        state = stage_task(key, return_state=True)
        output = state.result()
        if state.name != "Cached":
            return output, False
        if output.holds(run.paths.home) and self.is_still_there(run, output):
            return output, True
        logger.warning("%s: the stored output is gone or no longer has its digest; it is made again", self.name)
        return stage_task.with_options(refresh_cache=True)(key), False

    def _task(self, body: Callable[[str], Output]) -> Task[[str], Output]:
        return Task(
            body,
            name=self.name,
            task_run_name=self.name,
            retries=self.retries,
            retry_delay_seconds=[2.0, 8.0][: self.retries] or None,
            retry_condition_fn=_is_worth_a_retry if self.retries else None,
            timeout_seconds=self.timeout.total_seconds(),
            cache_policy=CacheKeyFnPolicy(cache_key_fn=_given_key) if self.is_cached else NO_CACHE,
            persist_result=self.is_cached,
            result_serializer="json",
            log_prints=False,
        )


def stage(
    *, code: tuple[str, ...], settings: Callable[[Run], list[Any]], timeout: timedelta, retries: int = 0,
    is_cached: bool = True, is_still_there: Callable[[Run, Output], bool] = _always,
) -> Callable[[Callable[Concatenate[Work, Inputs], Output]], Stage[Inputs, Output]]:  # fmt: skip
    """Make a stage of a function; its name is the file's and the stage's.

    `is_still_there`: whether what the output refers to outside the home folder, in MLflow, still exists.
    """

    def decorate(body: Callable[Concatenate[Work, Inputs], Output]) -> Stage[Inputs, Output]:
        return Stage(body.__name__, body, code, settings, timeout, retries, is_cached, is_still_there)

    return decorate


def _given_key(context: TaskRunContext, parameters: dict[str, Any]) -> str | None:
    return parameters["key"]


def _is_worth_a_retry(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Only a service that does not answer may answer the next time; a user's mistake stays one."""
    return isinstance(state.result(raise_on_failure=False), ServiceUnavailable)


def _describe(value: Any) -> Any:
    if isinstance(value, Artifact):
        return {"artifact": value.stage, **asdict(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


@functools.cache
def _digests(root: Path, places: tuple[str, ...]) -> dict[str, str]:
    files = sorted({file for place in places for file in _source_files(root / place)})
    return {file.relative_to(root).as_posix(): sha256_file(file) for file in files}


def _source_files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [file for file in place.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


@contextmanager
def _reported_progress(stage: str) -> Iterator[Progress]:
    """A listener that tells the terminal at once, and Prefect's UI at most every two seconds."""
    tell = listener.get()
    artifact: list[Any] = []
    last = time.monotonic()

    def report(done: float, total: float, doing: str = "") -> None:
        nonlocal last
        tell(StageAdvanced(stage, done, total, doing))
        if time.monotonic() - last < _PROGRESS_PAUSE_S:
            return
        last = time.monotonic()
        percent = 100.0 * done / total if total else 0.0
        if not artifact:
            artifact.append(
                create_progress_artifact(percent, key=f"{stage.replace('_', '-')}-progress", description=doing)
            )
        else:
            update_progress_artifact(artifact[0], percent, description=doing)

    yield report
    if artifact:
        update_progress_artifact(artifact[0], 100.0)
