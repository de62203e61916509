"""A training that several processes share, as a folder of files that hold no code.

job.json                  settings, seed, where checkpoints and remembered decisions lie
net/                      the untrained network
train.arrow               the rows to train on
judged.arrow              the rows that judge an epoch, where there are any
trained/, session.json    what comes of it
"""

# torch and safetensors type many of their functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sentinel.config import Training
from sentinel.model.network import FraudNet
from sentinel.storage import complete_folder, write_json
from sentinel.training.data.reading import load_rows
from sentinel.training.data.rows import BLOCK, CPU, TrainingRows
from sentinel.training.data.stored_rows import store_rows
from sentinel.training.device.compiled import Compilation
from sentinel.training.device.memory import MemoryWatch
from sentinel.training.device.on_device import Kept, Session
from sentinel.training.loop.position import Epoch, History

JOB, NET, TRAIN, JUDGED = "job.json", "net", "train.arrow", "judged.arrow"
TRAINED, SESSION = "trained", "session.json"
PLACES = ("remembered", "checkpoints", "probe")  # the folders of Kept


@dataclass(frozen=True)
class Job:
    folder: Path
    settings: Training
    seed: int
    kept: Kept

    @classmethod
    def write(
        cls,
        folder: Path,
        net: FraudNet,
        train: TrainingRows,
        judged: TrainingRows | None,
        settings: Training,
        kept: Kept,
        seed: int,
    ) -> Job:
        """Into `folder`, which is replaced. Raises DiskFull."""
        with complete_folder(folder) as parts:
            described = asdict(kept) | {name: str(getattr(kept, name)) for name in PLACES}
            write_json(parts / JOB, {"settings": settings.model_dump(mode="json"), "seed": seed, "kept": described})
            (parts / NET).mkdir()
            net.save(parts / NET)
            _write_rows(parts / TRAIN, train)
            if judged is not None:
                _write_rows(parts / JUDGED, judged)
        return cls(folder, settings, seed, kept)

    @classmethod
    def read(cls, folder: Path) -> Job:
        described = json.loads((folder / JOB).read_text())
        places = {name: Path(described["kept"].pop(name)) for name in PLACES}
        settings = Training.model_validate(described["settings"])
        return cls(folder, settings, described["seed"], Kept(**places, **described["kept"]))

    def net(self) -> FraudNet:
        return FraudNet.load(self.folder / NET)

    def train(self, memory: MemoryWatch) -> TrainingRows:
        return load_rows(self.folder / TRAIN, memory)

    def judged(self, memory: MemoryWatch) -> TrainingRows | None:
        file = self.folder / JUDGED
        return load_rows(file, memory) if file.exists() else None

    def write_result(self, net: FraudNet, session: Session) -> None:
        with complete_folder(self.folder / TRAINED) as trained:
            net.save(trained)
        write_json(self.folder / SESSION, asdict(session))

    def result(self) -> tuple[FraudNet, Session]:
        told = json.loads((self.folder / SESSION).read_text())
        history = told.pop("history")
        epochs = tuple(Epoch(**epoch) for epoch in history.pop("epochs"))
        compilation = Compilation(**told.pop("compilation"))
        found = Session(History(epochs, **history | {"skipped": tuple(history["skipped"])}), compilation, **told)
        return FraudNet.load(self.folder / TRAINED), found


def _write_rows(file: Path, rows: TrainingRows) -> None:
    store_rows(file, (block.to(CPU) for block in rows.blocks(torch.arange(len(rows)), BLOCK)), len(rows))
