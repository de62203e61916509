"""Trainings that need more memory than their limit: what child processes of the tests run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from sentinel.config import Training
from sentinel.errors import SentinelError
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.training.data.rows import CPU, ResidentRows, Rows, collect
from sentinel.training.data.stored_rows import StoredRows, store_rows
from sentinel.training.device.hardware import Hardware, deterministic
from sentinel.training.device.memory import MemoryWatch, host_limit
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.loop import train
from sentinel.training.loop.step import weights_digest
from sentinel.training.preparation import make_network
from tests.model.raw import feature_set

SETTINGS = Training(
    memory_limit="140MB", epochs=1, batch_size=512, width=16, layers=1, bins=4, genuine_per_fraud=4, device="cpu"
)
BLOCKS, BLOCK_ROWS = 90, 8192
FEATURES = feature_set(categorical=())
INPUTS = ModelInputs.from_feature_set(FEATURES)


def main(kind: str, folder: Path) -> None:
    torch.set_num_threads(1)
    derive = DerivedFeatures(INPUTS, FEATURES)
    width, count = len(derive.names), BLOCKS * BLOCK_ROWS
    with deterministic(1):
        small = _block(0, width)
        net = make_network(small, derive, INPUTS, FEATURES, SETTINGS)
        train(
            net, ResidentRows(small, CPU), SETTINGS, Hardware(CPU, "fp32"), None, seed=1
        )  # what torch loads is loaded
        before = _peak()
        watch = MemoryWatch(SETTINGS, CPU)
        blocks = (_block(number, width) for number in range(BLOCKS))
        if kind == "stored":
            assert not watch.fits(count, width, 0)
            store_rows(folder / "rows.arrow", blocks, count)
            rows = StoredRows(folder / "rows.arrow", CPU)
        else:
            rows = ResidentRows(collect(blocks, count, width, INPUTS), CPU)
        net = make_network(small, derive, INPUTS, FEATURES, SETTINGS)
        watched = watch if kind == "stored" else lambda: None
        train(net, rows, SETTINGS, Hardware(CPU, "fp32"), None, seed=1, watch=watched)
    found = {"table": count * width * 4, "limit": host_limit(SETTINGS), "peak": _peak() - before}
    sys.stdout.write(json.dumps(found | {"weights": weights_digest(net)}) + "\n")


def grow(folder: Path) -> None:
    """Each step takes a megabyte that it does not give back."""
    torch.set_num_threads(1)
    derive = DerivedFeatures(INPUTS, FEATURES)
    rows = _block(0, len(derive.names))
    kept: list[torch.Tensor] = []
    with deterministic(1):
        net = make_network(rows, derive, INPUTS, FEATURES, SETTINGS)
        watch = MemoryWatch(SETTINGS, CPU)

        def growing() -> None:
            kept.append(torch.ones(250_000))
            watch()

        settings = SETTINGS.model_copy(update={"epochs": 1000, "patience": 1000})
        checkpoints = Checkpoints(folder / "checkpoint", {})
        hardware = Hardware(CPU, "fp32")
        train(net, ResidentRows(rows, CPU), settings, hardware, None, seed=1, checkpoints=checkpoints, watch=growing)


def _block(number: int, width: int) -> Rows:
    random = torch.Generator().manual_seed(number)
    derived = torch.rand((BLOCK_ROWS, width), generator=random)
    return Rows(derived, None, (derived[:, 0] > 0.99).float())


def _peak() -> int:
    """Of this process alone: ru_maxrss begins with what its parent held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


if __name__ == "__main__":
    try:
        grow(Path(sys.argv[2])) if sys.argv[1] == "growing" else main(sys.argv[1], Path(sys.argv[2]))
    except SentinelError as error:
        sys.stderr.write(str(error))
        raise SystemExit(error.exit_code) from None
