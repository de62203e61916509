"""Which artifacts a folder of variants was made from, so that more can be made of them later."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sentinel.artifacts import Artifact, FeatureTable, OnnxModel, Splits, TrainedModel
from sentinel.errors import DataDamaged
from sentinel.storage import write_json

MADE_FROM = "made_from.json"


@dataclass(frozen=True)
class MadeFrom:
    onnx: OnnxModel
    trained: TrainedModel
    table: FeatureTable
    splits: Splits


def write_made_from(folder: Path, made_from: MadeFrom) -> None:
    write_json(folder / MADE_FROM, asdict(made_from))


def newest_made_from(quantized: Path, home: Path) -> MadeFrom | None:
    """What the newest folder below `quantized`, the outputs of the stage, was made from; None where there is none.

    Raises DataDamaged when one of the artifacts is gone or has other bytes now.
    """
    records = sorted(quantized.glob(f"*/{MADE_FROM}"), key=lambda file: file.stat().st_mtime)
    if not records:
        return None
    written = json.loads(records[-1].read_text())
    found = MadeFrom(
        OnnxModel(**written["onnx"]),
        TrainedModel(**written["trained"]),
        FeatureTable(**written["table"]),
        Splits(**written["splits"]),
    )
    for artifact in (found.onnx, found.trained, found.table, found.splits):
        _require(artifact, home)
    return found


def _require(artifact: Artifact, home: Path) -> None:
    folder = artifact.locate(home)
    if not artifact.holds(home):
        raise DataDamaged(
            f"{folder}, the output of stage {artifact.stage}, is not what it was. Run again: it is made anew."
        )
