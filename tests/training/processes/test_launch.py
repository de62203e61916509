"""Real processes: each start costs some seconds, so there are few."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from sentinel.config import Training
from sentinel.errors import DiskFull, TrainingFailed
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.model.network import FraudNet
from sentinel.storage import sha256_file, write_json
from sentinel.training.data.rows import ResidentRows, Rows, make_rows
from sentinel.training.device.hardware import Hardware, deterministic
from sentinel.training.device.on_device import Kept
from sentinel.training.loop.loop import train
from sentinel.training.loop.position import History
from sentinel.training.loop.probe import MOMENTS, PROBE
from sentinel.training.preparation import make_network
from sentinel.training.processes.failures import Failure, failure_file, first_failure
from sentinel.training.processes.job import Job
from sentinel.training.processes.launch import count_processes, launch
from sentinel.training.processes.messages import Follower, LogMessages, Messages, message_file
from sentinel.training.reproduction.reproducibility import verdict
from tests.model.raw import feature_set, features_table
from tests.training.conftest import SETTINGS

CPU = Hardware(torch.device("cpu"), "fp32")
PATIENT_S = 200  # a loaded machine may be slow
FEATURES = feature_set(categorical=())
INPUTS = ModelInputs.from_feature_set(FEATURES)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows(features_table(2000), INPUTS, DerivedFeatures(INPUTS, FEATURES))


def untrained(rows: Rows) -> FraudNet:
    with deterministic(1):
        return make_network(rows, DerivedFeatures(INPUTS, FEATURES), INPUTS, FEATURES, SETTINGS)


def kept(folder: Path) -> Kept:
    return Kept(folder / "remembered", folder / "checkpoints", folder / "probe", {}, {})


def weights(net: FraudNet) -> torch.Tensor:
    return torch.cat([value.flatten() for value in net.parameters()]).detach()


@dataclass(frozen=True)
class Together:
    """What two processes made of the network `untrained`, and left in `folder`."""

    folder: Path
    settings: Training
    net: FraudNet
    history: History
    said: list[str]


@pytest.fixture(scope="module")
def together(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Together:
    """A batch of 33 rows is shared unevenly."""
    settings = SETTINGS.model_copy(update={"epochs": 3, "batch_size": 33, "devices": 2})
    folder, said = tmp_path_factory.mktemp("together"), list[str]()
    resident = ResidentRows(rows, CPU.device)
    job = Job.write(folder / "job", untrained(rows), resident, None, settings, kept(folder), seed=1)
    launch(job.folder, 2, progress=lambda done, total, doing="": said.append(doing))
    net, session = job.result()
    return Together(folder, settings, net, session.history, said)


def test_two_processes_train_the_weights_of_one(rows: Rows, together: Together) -> None:
    alone = untrained(rows)
    with deterministic(1):
        expected = train(alone, ResidentRows(rows, CPU.device), together.settings, CPU, None, seed=1)
    assert (weights(together.net) - weights(alone)).abs().max() < 1e-5
    assert together.history.epochs[-1].loss == pytest.approx(expected.epochs[-1].loss, abs=1e-5)
    assert together.said[-1] == "trained" and len(together.said) > together.settings.epochs


def test_what_two_processes_did_is_repeated_by_two(together: Together, tmp_path: Path) -> None:
    probe = Path(shutil.copytree(together.folder / "probe", tmp_path / "probe"))
    assert verdict(probe, PATIENT_S, 2).kind == "bit-exact"
    moments = load_file(probe / MOMENTS)
    max(moments.values(), key=torch.numel).view(-1)[0] += 1e-3
    save_file(moments, probe / MOMENTS)
    told = json.loads((probe / PROBE).read_text())
    write_json(probe / PROBE, told | {"files": told["files"] | {MOMENTS: sha256_file(probe / MOMENTS)}})
    assert verdict(probe, PATIENT_S, 2).text == "not reproducible from step 1 of 30 on"
    alone = verdict(probe, PATIENT_S)
    assert alone.kind == "not measured" and "is of 2 processes, not 1" in (alone.problem or "")


LAUNCHER = """
import sys
from pathlib import Path
from sentinel.training.processes.launch import launch
launch(Path(sys.argv[1]), 2)
"""


def wait_for(is_true: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def test_no_process_survives_the_killed_launcher(rows: Rows, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 100_000, "devices": 2})
    resident = ResidentRows(rows, CPU.device)
    job = Job.write(tmp_path / "job", untrained(rows), resident, None, settings, kept(tmp_path), seed=1)
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # killed, it cannot clean up
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(job.folder)], env=environment)
    try:
        wait_for(
            lambda: (
                (job.folder / "messages-0.jsonl").exists()
                and "epoch 2" in (job.folder / "messages-0.jsonl").read_text()
            )
        )
        family = psutil.Process(launcher.pid).children(recursive=True)
        assert len(family) == 3, "the agent and two workers"
    finally:
        os.kill(launcher.pid, signal.SIGKILL)
        launcher.wait()
    gone, alive = psutil.wait_procs(family, timeout=60)
    assert (len(gone), alive) == (3, [])


def failed(job: Path, *failures: Failure) -> str:
    for failure in failures:
        write_json(failure_file(job, failure.rank), asdict(failure))
    error = first_failure(job, 2, job / "log")
    return f"{type(error).__name__}: {error}"


def test_what_is_told_is_the_failure_of_the_process_that_knows_why(tmp_path: Path) -> None:
    lost = Failure(0, "RuntimeError", "[gloo/tcp] Connection closed by peer [127.0.0.1]:4242", 1.0)
    assert "ended from outside" in failed(tmp_path)
    assert "ended from outside" in failed(tmp_path, lost)
    assert "process 2 of 2 failed: KeyError: 'x'. Its log is" in failed(tmp_path, Failure.of(1, KeyError("x")))
    assert failed(tmp_path, Failure.of(1, DiskFull("The disk is full."))) == "DiskFull: The disk is full."


def test_an_error_is_told_as_the_nearest_that_a_user_can_meet() -> None:
    class Scarce(TrainingFailed):
        pass

    assert Failure.of(0, Scarce("no memory")).error is TrainingFailed
    assert Failure.of(0, OSError("gone")).error is None


def test_one_process_a_device_and_a_row_at_least_for_each() -> None:
    assert count_processes(SETTINGS, CPU) == 1
    assert count_processes(SETTINGS.model_copy(update={"devices": 3}), CPU) == 3
    with pytest.raises(TrainingFailed, match="more than the rows of a batch"):
        count_processes(SETTINGS.model_copy(update={"devices": 3, "batch_size": 2}), CPU)


def test_messages_arrive_whole_in_order_and_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []
    follower = Follower(tmp_path, 2, lambda *said: told.append(said), lambda *said: told.append(said))
    follower.pass_on()
    messages = Messages(tmp_path, 0)
    messages.progress(1, 3, "epoch 2")
    messages.metric("loss", float("nan"), 4)
    with message_file(tmp_path, 0).open("a") as file:
        file.write('{"metric": ["pr_auc", 0.')
        file.flush()
        follower.pass_on()
        file.write("5, 7]}\n")
    assert told[0] == (1, 3, "epoch 2") and len(told) == 2
    logging.getLogger("sentinel.somewhere").addHandler(handler := LogMessages(Messages(tmp_path, 1)))
    logging.getLogger("sentinel.somewhere").warning("hot: %d", 90)
    logging.getLogger("sentinel.somewhere").removeHandler(handler)
    caplog.clear()
    follower.pass_on()
    follower.pass_on()
    assert told[2:] == [("pr_auc", 0.5, 7)]
    assert [(record.name, record.message) for record in caplog.records] == [("sentinel.somewhere", "hot: 90")]


def test_a_process_whose_parent_is_gone_already_ends() -> None:
    code = "from sentinel.training.processes.lifeline import end_with; end_with(1); print('lives')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "has ended" in done.stderr and done.stdout == ""
