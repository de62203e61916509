"""One of the processes that repeat a stretch of a training, and what the first of them finds.

    python -m sentinel.training.reproduction.repeat FOLDER SCRATCH RANK PROCESSES PARENT_PID

The first writes result.json into SCRATCH, where they also meet.
"""

from __future__ import annotations

import math
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.training.processes.lifeline import end_with

if TYPE_CHECKING:
    import torch

RESULT, MEETING = "result.json", "peers"


def repeat(folder: Path, rank: int = 0, processes: int = 1, meeting: Path = Path(MEETING)) -> dict[str, Any]:
    """The verdict's fields, but for the time. Several processes meet at the file `meeting`; each finds the same."""
    import torch  # here: this process says first whose child it is, which must not take seconds

    from sentinel.config import Training
    from sentinel.training.device.hardware import Hardware, deterministic
    from sentinel.training.device.memory import MemoryWatch
    from sentinel.training.loop.probe import open_replay, read_probe, replay
    from sentinel.training.processes.group import process_group

    recorded = read_probe(folder)
    torch.set_num_threads(recorded.threads)
    device = torch.device("cuda", rank) if recorded.device == "cuda" else torch.device(recorded.device)
    with (
        process_group(rank, processes, device, meeting) as peers,
        MemoryWatch(Training(), device, processes).refusing(),  # what waits for this verdict must not be killed for it
        deterministic(seed=0),  # no step draws from a generator
    ):
        stepper = open_replay(recorded, Hardware(device, recorded.precision), peers)
        digests = list(replay(recorded, stepper))
    if not digests:
        raise ValueError(f"{folder} holds no step to repeat")
    now = {name: weight.detach().cpu() for name, weight in stepper.net.named_parameters()}
    return _found(digests, recorded.digests, now, recorded.after())


def _found(
    digests: list[str], recorded: tuple[str, ...], now: dict[str, torch.Tensor], then: dict[str, torch.Tensor]
) -> dict[str, Any]:
    from sentinel.training.reproduction.weights import compare

    differ = [number for number, pair in enumerate(zip(digests, recorded, strict=True), 1) if pair[0] != pair[1]]
    compared = compare(then, now)
    if compared.kind != "bit-exact":
        differ = differ or [len(digests)]  # the weights that were kept are not those whose digest was
    return {
        "kind": _kind(bool(differ), compared.kind == "different"),
        "largest_difference": compared.largest if math.isfinite(compared.largest) else None,
        "first_step_that_differs": differ[0] if differ else None,
        "steps": len(digests),
    }


def _kind(differs: bool, is_far: bool) -> str:
    if not differs:
        return "bit-exact"
    return "not reproducible" if is_far else "within"


def _main(folder: Path, scratch: Path, rank: int, processes: int) -> None:
    from sentinel.storage import write_json

    found = repeat(folder, rank, processes, scratch / MEETING)
    if rank == 0:
        write_json(scratch / RESULT, found)


if __name__ == "__main__":
    end_with(int(sys.argv[5]))
    try:
        _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    except Exception:  # whatever it is, the waiting process tells it
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # a broken group's threads would keep an orderly end waiting
