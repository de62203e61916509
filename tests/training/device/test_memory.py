"""Training ends in a sentence before its memory ends, and rows lie where there is room for them."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.training.data.rows import CPU, Rows, make_rows
from sentinel.training.device import memory
from sentinel.training.device.hardware import Hardware, deterministic
from sentinel.training.device.host_memory import HostMemory, read_host_memory
from sentinel.training.device.memory import MemoryWatch, host_limit
from sentinel.training.device.out_of_memory import is_out_of_memory
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.step import Batch, Plan, Stepper
from sentinel.training.preparation import make_network
from tests.fresh_process import in_a_fresh_process
from tests.model.raw import feature_set, features_table
from tests.training.conftest import SETTINGS

MB = 1_000_000
FEATURES = feature_set(categorical=())
INPUTS = ModelInputs.from_feature_set(FEATURES)


def limited(limit: str | None) -> Training:
    return SETTINGS.model_copy(update={"memory_limit": limit})


@pytest.mark.parametrize(("limit", "expected"), [("150MB", 150 * MB), ("0.5GB", 500 * MB), ("1GB", 1000 * MB)])
def test_limit_is_that_of_the_config(limit: str, expected: int) -> None:
    assert host_limit(limited(limit)) == expected


@pytest.mark.parametrize("limit", [None, "900000GB"])
def test_limit_is_no_more_than_the_host_has(limit: str | None) -> None:
    assert host_limit(limited(limit)) == read_host_memory().total


def test_processes_that_train_one_model_share_the_limit() -> None:
    assert MemoryWatch(limited("300MB"), CPU, processes=3).limit == 100 * MB


def test_training_that_takes_more_and_more_ends_below_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CHECK_SECONDS", 0)
    watch = MemoryWatch(limited("120MB"), CPU)
    kept: list[mmap.mmap] = []  # not of the heap, which may have room left
    with pytest.raises(
        TrainingFailed, match=r"taken 11\d MB of memory, and its limit is 120 MB .*memory_limit = 120MB"
    ):
        while len(kept) < 100:
            watch()
            kept.append(mmap.mmap(-1, 4 * MB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
            kept[-1].write(bytes(4 * MB))
    assert 20 <= len(kept) <= 30


def test_run_that_grows_ends_itself_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.data.larger_than_memory", "growing", str(tmp_path)]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    assert ended.returncode == TrainingFailed.exit_code
    assert "its limit is 140 MB (training.memory_limit = 140MB). It was ended" in ended.stderr
    assert "Traceback" not in ended.stderr
    found = Checkpoints(tmp_path / "checkpoint", {}).read()
    assert found is not None and found.tensors


def test_training_ends_before_the_host_has_no_memory_left(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = MemoryWatch(limited(None), CPU)
    watch.check()
    monkeypatch.setattr(memory, "read_host_memory", lambda: HostMemory(4000 * MB, 60 * MB))
    with pytest.raises(TrainingFailed, match=r"Only 60 MB of this host's 4,000 MB of memory are free .*kernel"):
        watch.check()
    assert watch.room() == 0


def test_memory_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(memory, "CHECK_SECONDS", 3600)
    watch = MemoryWatch(limited(None), CPU)
    monkeypatch.setattr(watch, "check", check)
    for _ in range(1000):
        watch()
    assert looks == 1


def test_rows_lie_in_memory_while_they_take_half_of_the_room() -> None:
    watch = MemoryWatch(limited("400MB"), CPU)
    row = 4 * 100 + 8 * 2 + 4
    assert watch.fits(180 * MB // row, 100, 2)
    assert not watch.fits(220 * MB // row, 100, 2)


def test_allocation_beyond_the_room_is_refused_as_a_gpu_refuses_it() -> None:
    in_a_fresh_process(_allocate)  # one whose heap has no room left over


def _allocate() -> None:
    with MemoryWatch(limited("100MB"), CPU).refusing():
        small = torch.ones(5 * MB)
        with pytest.raises((RuntimeError, MemoryError)) as refused:
            torch.ones(50 * MB)
    assert is_out_of_memory(refused.value) and len(small) == 5 * MB
    assert len(torch.ones(50 * MB)) == 50 * MB


def test_batch_that_host_memory_refuses_is_cut_and_gives_the_same_weights() -> None:
    in_a_fresh_process(_cut)


def _cut() -> None:
    torch.set_num_threads(1)
    derive = DerivedFeatures(INPUTS, FEATURES)
    few = make_rows(features_table(3000), INPUTS, derive)
    rows = few.take(torch.arange(150_000) % len(few))  # tensors that are too large for what the heap has left
    whole, cut = (_one_step(rows, derive, limit) for limit in (None, "100MB"))
    assert whole[1] == len(rows) and cut[1] < len(rows)
    torch.testing.assert_close(cut[0], whole[0], rtol=0, atol=1e-5)


def _one_step(rows: Rows, derive: DerivedFeatures, limit: str | None) -> tuple[torch.Tensor, int]:
    """The weights after a step over all rows, and how many went through the network at once."""
    settings = limited(limit)
    plan = Plan(1, len(rows), 1, 1, 1e-3, 0.0, 0.0)
    with deterministic(1):
        stepper = Stepper(make_network(rows, derive, INPUTS, FEATURES, settings), plan, Hardware(CPU, "fp32"))
        with MemoryWatch(settings, CPU).refusing():
            stepper.step(0, Batch(rows, 0, len(rows)))
    return torch.cat([weight.detach().flatten() for weight in stepper.weights]), stepper.micro_batch
