from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from sentinel.errors import TrainingFailed
from sentinel.storage import listing
from sentinel.training.data.rows import Rows
from sentinel.training.device.hardware import deterministic
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.loop import train
from sentinel.training.reproduction.reproducibility import Verdict, verdict
from tests.training.conftest import SETTINGS
from tests.training.loop.killed import MEETING, Frequent, Killing, run, store_inputs
from tests.training.loop.test_loop import CPU, new_net, resident, rows, weights

__all__ = ["rows"]

KILLS = 20
STEPS = 160  # of a whole run
FILE_OPERATIONS = 90  # of a run that is not killed, and more
RESULTS = ("final.safetensors", "history.json", "probe")


@pytest.fixture(scope="module")
def inputs(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "inputs"
    rows.derived[7, 0] = -777.0  # its batches are skipped
    with deterministic(1):
        store_inputs(folder, new_net(rows), rows)
    return folder


def begin(inputs: Path, home: Path, killing: Killing, rank: int = 0, world: int = 1) -> BaseProcess:
    home.mkdir(exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.loop.killed"])
    process = context.Process(target=run, args=(inputs, home, killing, rank, world))
    process.start()
    return process


def results(home: Path) -> dict[str, str]:
    return {name: digest for name, digest in listing(home).items() if name.startswith(RESULTS)}


def was_killed(process: BaseProcess) -> bool:
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def kill(inputs: Path, home: Path, moment: random.Random) -> bool:
    """Go on with the run in `home` and kill it at a random moment, unless it is finished by then."""
    kind = moment.choice(["step", "file operation", "delay"])
    if kind == "step":
        return was_killed(begin(inputs, home, Killing(step=moment.randrange(STEPS))))
    if kind == "file operation":
        return was_killed(begin(inputs, home, Killing(file_operation=moment.randrange(FILE_OPERATIONS))))
    process = begin(inputs, home, Killing())
    process.join(moment.uniform(0.02, 0.6))
    if process.is_alive():
        os.kill(process.pid or 0, signal.SIGKILL)
    return was_killed(process)


def test_killed_at_twenty_moments_the_run_ends_with_the_same_bits(inputs: Path, tmp_path: Path) -> None:
    assert not was_killed(begin(inputs, tmp_path / "whole", Killing()))
    expected = results(tmp_path / "whole")
    assert "final.safetensors" in expected and "probe/probe.json" in expected
    moment, home, kills = random.Random(5), tmp_path / "killed", 0
    while kills < KILLS:
        if kill(inputs, home, moment):
            kills += 1
            continue
        assert results(home) == expected
        shutil.rmtree(home)
    if not (home / "final.safetensors").exists():
        assert not was_killed(begin(inputs, home, Killing()))
    assert results(home) == expected


def together(inputs: Path, home: Path, killed: int | None = None, step: int | None = None) -> None:
    """Two processes train in `home`, or train on; one of them kills itself before a step of its own counting."""
    (home / MEETING).unlink(missing_ok=True)
    both = [begin(inputs, home, Killing(step=step if rank == killed else None), rank, 2) for rank in (0, 1)]
    for process in both:
        process.join(60)
    codes = [process.exitcode for process in both]
    assert codes == [0, 0] if killed is None else codes[killed] == -signal.SIGKILL and 0 not in codes


def test_two_processes_of_which_one_is_killed_end_with_the_same_bits(inputs: Path, tmp_path: Path) -> None:
    together(inputs, tmp_path / "whole")
    expected = results(tmp_path / "whole")
    assert "final.safetensors" in expected and "probe/probe.json" in expected
    home = tmp_path / "killed"
    for killed, step in ((0, 30), (1, 25), (0, 20), (1, 40)):  # the second and the third in the stretch of the probe
        together(inputs, home, killed, step)
        assert (home / "checkpoint").exists() and not (home / "final.safetensors").exists()
    together(inputs, home)
    assert results(home) == expected
    assert repeated_by(2, home / "probe").kind == "bit-exact"


def repeated_by(processes: int, probe: Path) -> Verdict:
    return verdict(probe, 200, processes)  # a loaded machine may be slow


def test_what_watches_may_end_the_run_at_a_checkpoint(rows: Rows, tmp_path: Path) -> None:
    steps = 0

    def watch() -> None:
        nonlocal steps
        steps += 1
        if steps == 55:
            raise TrainingFailed("The memory is scarce.")

    with deterministic(1):
        net = new_net(rows)
        expected = new_net(rows)
        expected.load_state_dict(net.state_dict())
        train(expected, resident(rows), SETTINGS, CPU, None, seed=1)
        with pytest.raises(TrainingFailed, match="scarce"):
            train(net, resident(rows), SETTINGS, CPU, None, seed=1, checkpoints=Checkpoints(tmp_path, {}), watch=watch)
        other = new_net(rows)
        history = train(other, resident(rows), SETTINGS, CPU, None, seed=1, checkpoints=Checkpoints(tmp_path, {}))
    assert history.resumed_at == 54
    assert torch.equal(weights(other), weights(expected))


def test_a_finished_run_is_not_trained_again(rows: Rows, tmp_path: Path) -> None:
    def refuse() -> None:
        raise AssertionError("a step of a finished run")

    class AtTheEnd(Frequent):
        def is_due(self) -> bool:
            return True

    settings = SETTINGS.model_copy(update={"epochs": 1})
    with deterministic(1):
        net, other = new_net(rows, settings), new_net(rows, settings)
        first = train(net, resident(rows), settings, CPU, None, seed=1, checkpoints=AtTheEnd(tmp_path, {}))
        again = train(
            other, resident(rows), settings, CPU, None, seed=1, checkpoints=Checkpoints(tmp_path, {}), watch=refuse
        )
    assert torch.equal(weights(other), weights(net))
    assert again.epochs == first.epochs and again.resumed_at == 40


def test_a_checkpoint_of_another_network_is_not_used(
    rows: Rows, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    narrow, wide = (SETTINGS.model_copy(update={"epochs": 1, "width": width}) for width in (16, 32))
    with deterministic(1):
        for settings in (narrow, wide):
            net = new_net(rows, settings)
            history = train(net, resident(rows), settings, CPU, None, seed=1, checkpoints=Frequent(tmp_path, {}))
            assert history.resumed_at is None
    assert "another network" in caplog.text
