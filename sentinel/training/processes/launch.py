"""Several processes train one model, one on each device, started and watched by torchrun's agent.

A job is a folder of files. Every process reads it, trains in step with the others, and the first one leaves the
result there. All talk through the loopback device and files of this machine alone, and none of them survives the
process that launched them, however it ends.

The gradients are summed in the open (peers.py) and not by a wrapper such as DistributedDataParallel. Each process sums
over its rows, and the sum over all is divided by the rows of the batch: what one process would compute, also where the
shares differ by a row or a share is empty, while the wrapper takes the mean of the processes' means. Accumulation, a
micro-batch that is halved on one card alone, and a step that is tried again need no part of the wrapper's that counts
passes. And a network of a few megabytes is one message, where overlapping several with the backward pass saves less
than they cost.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.progress import Progress, silent
from sentinel.training.device.hardware import Hardware
from sentinel.training.processes.failures import failure_file, first_failure
from sentinel.training.processes.group import LOOPBACK
from sentinel.training.processes.messages import Follower, message_file

LOG, TORCHRUN_LOGS = "processes.log", "torchrun"
LOOK_SECONDS = 0.2  # between two looks at what the processes say
END_SECONDS = 10  # that a process gets to end when it is told to


def count_processes(settings: Training, hardware: Hardware) -> int:
    """One a device. Raises TrainingFailed when the config asks for more than there are, or than rows in a batch."""
    cards = torch.cuda.device_count() if hardware.is_cuda else 0
    if settings.devices == "auto":
        return max(1, min(cards, settings.batch_size))
    if hardware.is_cuda and settings.devices > cards:
        raise TrainingFailed(f"training.devices is {settings.devices}, and torch sees {cards} GPUs. Lower it.")
    if settings.devices > settings.batch_size:
        raise TrainingFailed(
            f"training.devices is {settings.devices}, more than the rows of a batch (training.batch_size = "
            f"{settings.batch_size}). Lower the first, or raise the second."
        )
    return settings.devices


def launch(
    job: Path,
    processes: int,
    *,
    progress: Progress = silent,
    log_metric: Callable[[str, float, int], None] = lambda name, value, step: None,
) -> None:
    """Run the job of a folder to its end. Raises the first failed process's own error."""
    _forget_last(job, processes)
    follower = Follower(job, processes, progress, log_metric)
    with TemporaryDirectory(prefix="sentinel-") as meeting, (job / LOG).open("wb") as log:
        command, environment = _torchrun(job, processes, Path(meeting))
        agent = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while agent.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    agent.wait(LOOK_SECONDS)
                follower.pass_on()
        finally:
            _end(agent)
            shutil.rmtree(job / TORCHRUN_LOGS, ignore_errors=True)  # empty: all went to the one log
    follower.pass_on()
    if agent.returncode:
        raise first_failure(job, processes, job / LOG)


def _torchrun(job: Path, processes: int, meeting: Path) -> tuple[list[str], dict[str, str]]:
    """The processes meet at files of `meeting`, so that no port is open to another machine."""
    command = [sys.executable, "-m", "sentinel.training.processes.agent", str(os.getpid())]
    command += ["--nnodes=1", f"--nproc-per-node={processes}", "--max-restarts=0", "--local-addr=127.0.0.1"]
    command += ["--rdzv-backend=c10d", f"--rdzv-endpoint={meeting / 'agent'}", "--rdzv-conf=store_type=file"]
    command += [f"--rdzv-id={meeting.name}", f"--log-dir={job / TORCHRUN_LOGS}", f"--shutdown-timeout={END_SECONDS}"]
    command += ["--module", "sentinel.training.processes.worker", str(job), str(meeting / "peers")]
    threads = str(max(1, torch.get_num_threads() // processes))
    environment = os.environ | LOOPBACK | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": threads}
    return command, environment


def _end(agent: subprocess.Popen[bytes]) -> None:
    """The agent passes it on to its processes; should it not, they end when it is killed."""
    if agent.poll() is not None:
        return
    agent.terminate()
    try:
        agent.wait(2 * END_SECONDS)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()


def _forget_last(job: Path, processes: int) -> None:
    """What an earlier launch of the same job left besides its checkpoints."""
    for rank in range(processes):
        message_file(job, rank).unlink(missing_ok=True)
        failure_file(job, rank).unlink(missing_ok=True)
    shutil.rmtree(job / TORCHRUN_LOGS, ignore_errors=True)
