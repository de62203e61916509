"""A training that several processes share, as a folder of files that hold no code.

job.json                  settings, seed, the folder of checkpoints
net/                      the untrained network
train.safetensors         the rows to train on
judged.safetensors        the rows that judge an epoch, where there are any
trained/, history.json    what comes of it
"""

# torch and safetensors type many of their functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file

from sentinel.config import Training
from sentinel.model.network import FraudNet
from sentinel.storage import complete_file, complete_folder, write_json
from sentinel.training.loop import Epoch, History
from sentinel.training.rows import Rows

JOB, NET, TRAIN, JUDGED = "job.json", "net", "train.safetensors", "judged.safetensors"
TRAINED, HISTORY = "trained", "history.json"


@dataclass(frozen=True)
class Job:
    folder: Path
    settings: Training
    seed: int

    @classmethod
    def write(cls, folder: Path, net: FraudNet, train: Rows, judged: Rows | None, settings: Training, seed: int) -> Job:
        """Into `folder`, which is replaced."""
        with complete_folder(folder) as parts:
            write_json(parts / JOB, {"settings": settings.model_dump(mode="json"), "seed": seed})
            (parts / NET).mkdir()
            net.save(parts / NET)
            _write_rows(parts / TRAIN, train)
            if judged is not None:
                _write_rows(parts / JUDGED, judged)
        return cls(folder, settings, seed)

    @classmethod
    def read(cls, folder: Path) -> Job:
        described = json.loads((folder / JOB).read_text())
        return cls(folder, Training.model_validate(described["settings"]), described["seed"])

    def net(self) -> FraudNet:
        return FraudNet.load(self.folder / NET)

    def train(self) -> Rows:
        return _read_rows(self.folder / TRAIN)

    def judged(self) -> Rows | None:
        file = self.folder / JUDGED
        return _read_rows(file) if file.exists() else None

    def write_result(self, net: FraudNet, history: History) -> None:
        with complete_folder(self.folder / TRAINED) as trained:
            net.save(trained)
        write_json(self.folder / HISTORY, asdict(history))

    def result(self) -> tuple[FraudNet, History]:
        told = json.loads((self.folder / HISTORY).read_text())
        epochs = tuple(Epoch(**epoch) for epoch in told.pop("epochs"))
        return FraudNet.load(self.folder / TRAINED), History(epochs, **told)


def _write_rows(file: Path, rows: Rows) -> None:
    tensors = {"derived": rows.derived, "labels": rows.labels}
    if rows.categorical is not None:
        tensors["categorical"] = rows.categorical
    with complete_file(file) as temporary:
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, temporary)


def _read_rows(file: Path) -> Rows:
    tensors = load_file(file)
    return Rows(tensors["derived"], tensors.get("categorical"), tensors["labels"])
