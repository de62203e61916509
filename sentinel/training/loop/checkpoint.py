"""The state of a training on disk, so that a killed one goes on to the same bit.

    state-a.safetensors or state-b.safetensors    tensors: network, best weights, the optimizer's moments
    checkpoint.json                               numbers; names the tensors' file with its sha256

A write fills the slot that checkpoint.json does not name, then replaces checkpoint.json: whenever the process is
killed, the old checkpoint or the new one is there, whole.
"""

# safetensors types its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sentinel.storage import complete_file, remove_leftovers, sha256_file, sha256_json, write_json
from sentinel.training.device.host_memory import allow_to_map

POINTER, SLOTS = "checkpoint.json", ("state-a.safetensors", "state-b.safetensors")
FORMAT = 1
LEAST_SECONDS = 1.0  # between two checkpoints
TIMES_ITS_COST = 25  # of training after each: under 4 % of the time goes into writing
GUESSED_BYTES_A_SECOND = 100e6  # until the first has been written

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]  # fit for JSON


class Checkpoints:
    """The checkpoints of one training, of which the last is kept.

    `fingerprint` (fit for JSON) holds all that the result depends on: a checkpoint of another one is not used.
    `facts` are the caller's own, kept with each checkpoint.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> None:
        self.folder, self.fingerprint, self.facts = folder, dict(fingerprint), dict(facts or {})
        self.seconds = 0.0  # spent writing, by this process
        self.cost = 0.0  # seconds of the next write, by the last one
        self.last = time.perf_counter()

    def begin(self, tensors_bytes: int) -> None:
        """Training begins: nothing is due before the guessed cost of a write of so many bytes is earned."""
        self.cost, self.last = tensors_bytes / GUESSED_BYTES_A_SECOND, time.perf_counter()
        for name in (POINTER, *SLOTS):
            remove_leftovers(self.folder / name)

    def is_due(self) -> bool:
        return time.perf_counter() - self.last >= max(LEAST_SECONDS, TIMES_ITS_COST * self.cost)

    def write(self, checkpoint: Checkpoint) -> None:
        begun = time.perf_counter()
        slot = next(name for name in SLOTS if name != self._named_slot())
        self._make_way(slot, POINTER)
        with complete_file(self.folder / slot) as temporary:
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
            save_file(tensors, temporary)
        digest = sha256_file(self.folder / slot)
        _sync_folder(self.folder)  # the tensors' name is on the disk before the pointer to it
        body = {
            "format": FORMAT,
            "tensors": {"file": slot, "sha256": digest},
            "fingerprint": self.fingerprint,
            "facts": self.facts,
            "numbers": dict(checkpoint.numbers),
        }
        write_json(self.folder / POINTER, body | {"sha256": sha256_json(body)})
        _sync_folder(self.folder)
        self.last = time.perf_counter()
        self.cost = self.last - begun
        self.seconds += self.cost

    def read(self) -> Checkpoint | None:
        """The last one, with its `facts` taken over; None, and the reason logged, when it cannot be used."""
        try:
            body = self._read_pointer()
            if body is None:
                return None
            if strange := self._strange(body["fingerprint"]):
                _log.warning("The checkpoint in %s is not of this training (%s): begun anew.", self.folder, strange)
                return None
            tensors = self._read_tensors(body["tensors"])
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            _log.warning("The checkpoint in %s is damaged (%s): training begins anew.", self.folder, error)
            return None
        self.facts = body["facts"]
        return Checkpoint(tensors, body["numbers"])

    def facts_on_disk(self) -> dict[str, Any] | None:
        """Those of the last checkpoint, whatever it is of; None without one that can be read."""
        try:
            body = self._read_pointer()
            return dict(body["facts"]) if body else None
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def discard(self) -> None:
        """Once what it was for is stored elsewhere."""
        self._make_way(POINTER, *SLOTS)
        for name in (POINTER, *SLOTS):
            (self.folder / name).unlink(missing_ok=True)
            remove_leftovers(self.folder / name)

    def _make_way(self, *names: str) -> None:
        """A folder of such a name is damage: no file could be renamed to it."""
        for name in names:
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name)

    def _read_pointer(self) -> dict[str, Any] | None:
        """None without one. Raises ValueError when it is not what was written."""
        file = self.folder / POINTER
        if not file.exists():
            return None
        body = cast("dict[str, Any]", json.loads(file.read_text()))
        if body["format"] != FORMAT:
            raise ValueError(f"{POINTER} has format {body['format']}, this version writes {FORMAT}")
        if body.pop("sha256") != sha256_json(body):
            raise ValueError(f"{POINTER} is not as it was written")
        return body

    def _read_tensors(self, named: Mapping[str, str]) -> dict[str, Tensor]:
        if named["file"] not in SLOTS:
            raise ValueError(f"{POINTER} names {named['file']}")
        file = self.folder / named["file"]
        if sha256_file(file) != named["sha256"]:
            raise ValueError(f"{file.name} is not the file that {POINTER} names")
        allow_to_map(file)
        return load_file(file)

    def _strange(self, found: Mapping[str, Any]) -> str:
        """In words, what it was made of that is otherwise now; empty when nothing is."""
        now = json.loads(json.dumps(self.fingerprint))
        names = [name for name in sorted(found.keys() | now.keys()) if found.get(name) != now.get(name)]
        return ", ".join(f"{name}: {found.get(name)}, now {now.get(name)}" for name in names)

    def _named_slot(self) -> str | None:
        try:
            body = self._read_pointer()
            return body["tensors"]["file"] if body else None
        except (OSError, KeyError, TypeError, ValueError):
            return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
