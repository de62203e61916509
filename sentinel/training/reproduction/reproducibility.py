"""The verdict that every training ends with: does a fresh process, set down in its middle, come to the same weights?

The steps are those that the training kept (loop/probe.py), however long it was: the cost is constant. A training in
several processes is repeated by as many: in which order they add their gradients up is part of what is repeated. What
could not be repeated is `not measured`, which no gate takes for a proof.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sentinel.training.processes.group import LOOPBACK
from sentinel.training.reproduction.repeat import RESULT

TIMEOUT_S = 10.0  # that a training waits for it at most; importing torch takes two
_LOOK_S = 0.02  # between two looks at the processes
_TAIL = 300  # characters of a failed process's last words

Kind = Literal["bit-exact", "within", "not reproducible", "not measured"]


@dataclass(frozen=True)
class Verdict:
    """`first_step_that_differs` counts the `steps` repeated ones from 1; `problem` says why nothing was measured.

    `largest_difference`: absolute, of one weight after the last step; None where the two cannot be subtracted.
    `seconds`: that the training waited.
    """

    kind: Kind
    largest_difference: float | None
    first_step_that_differs: int | None
    steps: int
    seconds: float
    problem: str | None = None

    @property
    def text(self) -> str:
        """As it stands on a card or in a tag."""
        if self.kind == "within":
            return f"within {self.largest_difference:.1e}"
        if self.kind == "not reproducible":
            return f"not reproducible from step {self.first_step_that_differs} of {self.steps} on"
        return self.kind

    def as_dict(self) -> dict[str, Any]:
        return {"verdict": self.text, **asdict(self)}


def verdict(folder: Path, timeout_s: float = TIMEOUT_S, processes: int = 1) -> Verdict:
    """Repeat the steps that lie in `folder`. What fails is `not measured`, with the reason, and no error."""
    with repeating(folder, processes) as repeated:
        return repeated(timeout_s)


@contextmanager
def repeating(folder: Path, processes: int = 1) -> Generator[Callable[[float], Verdict]]:
    """Start the processes and go on with other work; what is yielded waits for the verdict. They end with the block.

    `processes`: as many as trained.
    """
    with tempfile.TemporaryDirectory() as scratch:
        started = [_start(folder.resolve(), rank, processes, Path(scratch)) for rank in range(processes)]
        try:
            yield lambda timeout_s=TIMEOUT_S: _verdict(started, Path(scratch), timeout_s)
        finally:
            for process in started:
                process.kill()
                process.wait()


def _start(folder: Path, rank: int, processes: int, scratch: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sentinel.training.reproduction.repeat", str(folder), str(scratch)]
    command += [str(rank), str(processes), str(os.getpid())]
    with _log(scratch, rank).open("wb") as output:
        return subprocess.Popen(
            command, env=os.environ | LOOPBACK, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def _verdict(started: Sequence[subprocess.Popen[bytes]], scratch: Path, timeout_s: float) -> Verdict:
    begun = time.perf_counter()
    codes = _codes(started)
    while None in codes and not any(codes):
        if time.perf_counter() - begun > timeout_s:
            return _not_measured(f"repeating it took longer than {timeout_s:g} s", begun)
        time.sleep(_LOOK_S)
        codes = _codes(started)
    result = scratch / RESULT
    if any(codes) or not result.is_file():
        rank = next((rank for rank, code in enumerate(codes) if code), 0)
        words = _log(scratch, rank).read_text(errors="replace")[-_TAIL:].strip()
        return _not_measured(f"a repeating process ended with {codes[rank]}: {words or 'it left no word'}", begun)
    return Verdict(seconds=time.perf_counter() - begun, **json.loads(result.read_text()))


def _codes(started: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    return [process.poll() for process in started]


def _log(scratch: Path, rank: int) -> Path:
    return scratch / f"log-{rank}"


def _not_measured(problem: str, begun: float) -> Verdict:
    return Verdict("not measured", None, None, 0, time.perf_counter() - begun, problem)
