"""The verdict that every training ends with: does a fresh process, set down in its middle, come to the same weights?

    python -m sentinel.training.reproduction.reproducibility FOLDER RESULT.json PARENT_PID

The steps are those that the training kept (probe.py), however long it was: the cost is constant. What could not be
repeated is `not measured`, which no gate takes for a proof.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

TIMEOUT_S = 10.0  # that a training waits for it at most; importing torch takes two
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


def verdict(folder: Path, timeout_s: float = TIMEOUT_S) -> Verdict:
    """Repeat the steps that lie in `folder`. What fails is `not measured`, with the reason, and no error."""
    with repeating(folder) as repeated:
        return repeated(timeout_s)


@contextmanager
def repeating(folder: Path) -> Generator[Callable[[float], Verdict]]:
    """Start the process and go on with other work; what is yielded waits for the verdict. It ends with the block."""
    with tempfile.TemporaryDirectory() as scratch:
        result, log = Path(scratch) / "result.json", Path(scratch) / "log"
        command = [sys.executable, "-m", __name__, str(folder.resolve()), str(result), str(os.getpid())]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield lambda timeout_s=TIMEOUT_S: _verdict(process, result, log, timeout_s)
        finally:
            process.kill()
            process.wait()


def _verdict(process: subprocess.Popen[bytes], result: Path, log: Path, timeout_s: float) -> Verdict:
    begun = time.perf_counter()
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return _not_measured(f"repeating it took longer than {timeout_s:g} s", begun)
    if code or not result.is_file():
        words = log.read_text(errors="replace")[-_TAIL:].strip()
        return _not_measured(f"the repeating process ended with {code}: {words or 'it left no word'}", begun)
    return Verdict(seconds=time.perf_counter() - begun, **json.loads(result.read_text()))


def _not_measured(problem: str, begun: float) -> Verdict:
    return Verdict("not measured", None, None, 0, time.perf_counter() - begun, problem)


def repeat(folder: Path) -> dict[str, Any]:
    """The verdict's fields, but for the time."""
    import torch  # here: this process says first whose child it is, which must not take seconds

    from sentinel.training.device.hardware import Hardware, deterministic
    from sentinel.training.loop.probe import open_replay, read_probe, replay
    from sentinel.training.reproduction.weights import compare

    recorded = read_probe(folder)
    torch.set_num_threads(recorded.threads)
    with deterministic(seed=0):  # no step draws from a generator
        stepper = open_replay(recorded, Hardware(torch.device(recorded.device), recorded.precision))
        digests = list(replay(recorded, stepper))
    if not digests:
        raise ValueError(f"{folder} holds no step to repeat")
    differ = [
        number for number, (now, then) in enumerate(zip(digests, recorded.digests, strict=True), 1) if now != then
    ]
    compared = compare(
        recorded.after(), {name: weight.detach().cpu() for name, weight in stepper.net.named_parameters()}
    )
    if compared.kind != "bit-exact":
        differ = differ or [len(digests)]  # the weights that were kept are not those whose digest was
    return {
        "kind": _kind(bool(differ), compared.kind == "different"),
        "largest_difference": compared.largest if math.isfinite(compared.largest) else None,
        "first_step_that_differs": differ[0] if differ else None,
        "steps": len(digests),
    }


def _kind(differs: bool, is_far: bool) -> Kind:
    if not differs:
        return "bit-exact"
    return "not reproducible" if is_far else "within"


def _main(folder: str, result: str, parent: str) -> None:
    from sentinel.storage import write_json
    from sentinel.training.processes.lifeline import end_with

    end_with(int(parent))
    write_json(Path(result), repeat(Path(folder)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
