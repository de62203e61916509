"""torchrun's agent, as a process that ends with the one that launched it.

    python -m sentinel.training.processes.agent LAUNCHER_PID [arguments of torchrun]

It starts the workers, and ends all of them when one fails. They end with it in turn.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import os
import sys

from sentinel.training.processes.lifeline import end_with

AGENT = "SENTINEL_TRAINING_AGENT"  # its process id, for the workers


def main(arguments: list[str]) -> None:
    end_with(int(arguments[0]))
    os.environ[AGENT] = str(os.getpid())
    from torch.distributed.run import main as torchrun  # seconds, in which the launcher may end

    torchrun(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
