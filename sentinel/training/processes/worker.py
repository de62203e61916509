"""One of the processes that train one model together.

    python -m sentinel.training.processes.worker JOB_FOLDER MEETING_FILE

torchrun's agent starts it and says in the environment which of how many it is.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.training.processes.agent import AGENT
from sentinel.training.processes.lifeline import end_with

if TYPE_CHECKING:
    from sentinel.training.processes.job import Job
    from sentinel.training.processes.messages import Messages


def main(folder: Path, meeting: Path) -> int:
    """The exit status."""
    end_with(int(os.environ[AGENT]))
    from sentinel.errors import SentinelError  # from here on imports take seconds
    from sentinel.storage import write_json
    from sentinel.training.processes.failures import Failure, failure_file
    from sentinel.training.processes.job import Job
    from sentinel.training.processes.messages import LogMessages, Messages

    rank = int(os.environ["RANK"])
    messages = Messages(folder, rank)
    logging.getLogger("sentinel").addHandler(LogMessages(messages))
    logging.getLogger("sentinel").setLevel(logging.INFO)
    try:
        run(Job.read(folder), rank, meeting, messages)
    except Exception as error:  # whatever it is, the launching process must be able to tell it
        traceback.print_exc()
        write_json(failure_file(folder, rank), asdict(Failure.of(rank, error)))
        return error.exit_code if isinstance(error, SentinelError) else 1
    return 0


def run(job: Job, rank: int, meeting: Path, messages: Messages) -> None:
    """Train the job's network; the first process tells how far it is, and stores what comes of it."""
    from sentinel.training.device.hardware import choose_hardware, deterministic
    from sentinel.training.device.memory import MemoryWatch
    from sentinel.training.device.on_device import train_on_device
    from sentinel.training.device.out_of_memory import out_of_memory_in_a_sentence
    from sentinel.training.processes.group import process_group

    settings, world = job.settings, int(os.environ["WORLD_SIZE"])
    hardware = choose_hardware(settings, rank)
    with process_group(rank, world, hardware.device, meeting) as peers:
        memory = MemoryWatch(settings, hardware.device, world)
        bounded = memory.refusing()
        with out_of_memory_in_a_sentence(), bounded, deterministic(job.seed, settings.deterministic):
            net, rows, judged = job.net(), job.train(memory), job.judged(memory)
            session = train_on_device(
                net, rows, judged, settings, hardware, memory, job.kept,
                seed=job.seed, peers=peers, progress=messages.progress, log_metric=messages.metric,
            )  # fmt: skip
        if peers.is_first:
            job.write_result(net.cpu(), session)


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a broken group's threads would keep an orderly end waiting
