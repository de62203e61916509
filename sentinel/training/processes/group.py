"""The group in which the processes of one training sum: they meet at a file, and no port is open to another machine."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as distributed

from sentinel.training.loop.peers import ALONE, Peers

LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}  # for the environment of every such process
# A process waits so long for another that rests its hot card, compiles or judges; one that ended is noticed at once.
WAIT = timedelta(hours=6)


@contextmanager
def process_group(rank: int, world: int, device: torch.device, meeting: Path) -> Generator[Peers]:
    """Join the others at the file `meeting`. CPU tensors are summed by gloo, those of a GPU by NCCL."""
    if world == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store = distributed.FileStore(str(meeting), world)  # pyright: ignore[reportPrivateImportUsage]
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=WAIT)
    yield Peers(rank, world)
    distributed.destroy_process_group()  # not after a failure: it would wait for those that do not come
