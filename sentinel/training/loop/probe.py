"""A stretch of a training, kept so that a fresh process can train it again and compare the weights.

model/                the network as it was before the first step of the stretch
moments.safetensors   the optimizer's tensors then
start.json            its numbers then, and the plan
rows.safetensors      the rows of the stretch's batches, in order
after.safetensors     the weights after the last step
probe.json            the sizes of the batches, the digest of the weights after each step, the files' sha256
"""

# safetensors types its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sentinel.errors import DataDamaged
from sentinel.model.network import FraudNet
from sentinel.storage import complete_file, remove_leftovers, sha256_file, write_json
from sentinel.training.data.rows import Rows
from sentinel.training.device.hardware import Hardware
from sentinel.training.device.host_memory import allow_to_map
from sentinel.training.loop.peers import ALONE, Peers
from sentinel.training.loop.step import Batch, Plan, Stepper, run_steps, weights_digest

PROBE_STEPS = 30
PROBE_BYTES = 2_000_000_000  # of weights that are hashed, at most: a larger network is probed over fewer steps
MODEL, MOMENTS, START = "model", "moments.safetensors", "start.json"
ROWS, AFTER, PROBE = "rows.safetensors", "after.safetensors", "probe.json"


@dataclass(frozen=True)
class Probe:
    """Where a training leaves its stretch: the first process, when there are several."""

    folder: Path


@dataclass
class Recorder:
    """Records the steps [first, last) of a run. `trace` goes into checkpoints: the run may be killed on the way.

    Every process of a run has one, because all of them take these steps alike; the first one writes.
    """

    folder: Path
    first: int
    last: int
    trace: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])  # of each step: rows, at once, digest

    def covers(self, number: int) -> bool:
        return self.first <= number < self.last

    def before(self, number: int, stepper: Stepper) -> None:
        if number == self.first and stepper.peers.is_first:
            self._keep_start(stepper)

    def after(self, number: int, batch: Batch, stepper: Stepper) -> bool:
        """Whether this was the last step: then `keep` has to be called."""
        if not stepper.peers.is_first:
            return False
        if self.covers(number):
            digest = weights_digest(stepper.net)
            self.trace.append({"rows": batch.size, "at_once": stepper.micro_batch, "sha256": digest})
        return number == self.last - 1

    def forget(self) -> None:
        """A run begins: what lies here is another one's."""
        (self.folder / PROBE).unlink(missing_ok=True)

    def keep(self, rows: Rows, net: FraudNet) -> None:
        """The end of the stretch: `rows` are those of all its batches."""
        if len(self.trace) < self.last - self.first or not (self.folder / START).exists():
            return  # its beginning was not recorded: no probe is better than half of one
        for name in (ROWS, AFTER, PROBE):
            remove_leftovers(self.folder / name)
        tensors = {"derived": rows.derived, "labels": rows.labels}
        _save(self.folder / ROWS, tensors if rows.categorical is None else tensors | {"categorical": rows.categorical})
        _save(self.folder / AFTER, dict(net.named_parameters()))
        parts = {name: sha256_file(self.folder / name) for name in (MOMENTS, START, ROWS, AFTER)}
        write_json(self.folder / PROBE, {"steps": self.trace, "files": parts})

    def _keep_start(self, stepper: Stepper) -> None:
        self.trace.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / MODEL).mkdir(parents=True, exist_ok=True)
        stepper.net.save(self.folder / MODEL)
        _save(self.folder / MOMENTS, stepper.moments())
        hardware = {"device": stepper.hardware.device.type, "precision": stepper.hardware.precision}
        hardware |= {"threads": torch.get_num_threads(), "processes": stepper.peers.world}
        start = {"first": self.first, "plan": asdict(stepper.plan), "numbers": stepper.numbers()}
        write_json(self.folder / START, start | hardware)


def make_recorder(probe: Probe, net: FraudNet, sure_steps: int) -> Recorder:
    """In the middle of the steps that will be run whatever the judge says."""
    weights_bytes = sum(weight.numel() * weight.element_size() for weight in net.parameters())
    steps = max(1, min(PROBE_STEPS, PROBE_BYTES // weights_bytes, sure_steps))
    first = (sure_steps - steps + 1) // 2
    return Recorder(probe.folder, first, first + steps)


@dataclass(frozen=True)
class Recorded:
    """A probe as it lies in its folder."""

    folder: Path
    first: int  # number of its first step in the run
    digests: tuple[str, ...]  # of the weights after each step
    device: str
    precision: str
    threads: int  # of a process
    processes: int
    start: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]

    def after(self) -> dict[str, Tensor]:
        """The weights after the last step, by name."""
        return load_file(self.folder / AFTER)


def read_probe(folder: Path) -> Recorded:
    """Raises DataDamaged for a folder without a whole probe."""
    try:
        probe = json.loads((folder / PROBE).read_text())
        for name, digest in probe["files"].items():
            if sha256_file(folder / name) != digest:
                raise ValueError(f"{name} is not as it was written")
        start = json.loads((folder / START).read_text())
        digests = tuple(step["sha256"] for step in probe["steps"])
        return Recorded(
            folder, start["first"], digests, start["device"], start["precision"], start["threads"], start["processes"],
            start, probe["steps"],
        )  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataDamaged(f"The probe in {folder} cannot be read: {error}. Train the model again.") from error


def open_replay(recorded: Recorded, hardware: Hardware, peers: Peers = ALONE) -> Stepper:
    """The network and its optimizer as they were before the first step. Raises DataDamaged."""
    if peers.world != recorded.processes:
        raise DataDamaged(f"The probe in {recorded.folder} is of {recorded.processes} processes, not {peers.world}.")
    net = FraudNet.load(recorded.folder / MODEL).to(hardware.device)
    stepper = Stepper(net, Plan(**recorded.start["plan"]), hardware, peers)
    try:
        allow_to_map(recorded.folder / MOMENTS)
        stepper.restore(load_file(recorded.folder / MOMENTS), recorded.start["numbers"])
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataDamaged(f"The probe in {recorded.folder} does not fit its model: {error}.") from error
    return stepper


def replay(recorded: Recorded, stepper: Stepper) -> Iterator[str]:
    """The digest of the weights after each step, trained again by all its processes; `stepper.net` has them."""
    return run_steps(stepper, recorded.first, _batches(recorded, stepper))


def _batches(recorded: Recorded, stepper: Stepper) -> Iterator[Batch]:
    found = {name: tensor.to(stepper.hardware.device) for name, tensor in load_file(recorded.folder / ROWS).items()}
    begin = 0
    for step in recorded.steps:
        end = begin + step["rows"]
        part = {
            name: stepper.peers.share(tensor[begin:end]).clone() for name, tensor in found.items()
        }  # as in training
        stepper.micro_batch = step["at_once"]
        rows = Rows(part["derived"], part.get("categorical"), part["labels"]) if len(part["labels"]) else None
        yield Batch(rows, stepper.peers.start(step["rows"]), step["rows"])
        begin = end


def _save(file: Path, tensors: Mapping[str, Tensor]) -> None:
    with complete_file(file) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
