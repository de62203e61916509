"""Stage quantize: fp32, one dynamic and two static INT8 variants, all measured here side by side."""

# onnxruntime carries no types:
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime

from sentinel.artifacts import FeatureTable, OnnxModel, Splits, TrainedModel, Variants
from sentinel.config import Export
from sentinel.errors import RecordInvalid
from sentinel.export.calibration import sample_calibration
from sentinel.export.choice import MEASUREMENTS
from sentinel.export.made_from import MadeFrom, write_made_from
from sentinel.export.onnx_graph import GRAPH
from sentinel.export.prepared import prepare
from sentinel.export.recipes import EVERY_RUN
from sentinel.export.rows import Rows, read_rows
from sentinel.export.variants import Figures, Yardstick, make_variant, measure_variants
from sentinel.progress import Progress, part_of, silent
from sentinel.scoring import PROVIDER
from sentinel.storage import complete_folder, require_free_disk, sha256_path, write_json

_EVIDENCE_BYTES = 100_000_000
_GRAPHS = 8  # of the size of fp32's, at most, that lie on the disk at once


@dataclass(frozen=True)
class Subject:
    """The exported graph, the rows it is quantized with, and what its variants are measured on."""

    graph: Path
    calibration: Rows
    yardstick: Yardstick
    threshold_budget: Any  # as training recorded it


def read_subject(
    onnx: OnnxModel, trained: TrainedModel, table: FeatureTable, splits: Splits, export: Export, *, home: Path
) -> Subject:
    """Raises RecordInvalid when training recorded no threshold."""
    record = _training_record(trained.locate(home))
    calibration = read_rows("calibration", trained, table, splits, home)
    return Subject(
        onnx.locate(home) / GRAPH,
        calibration.take(sample_calibration(calibration.labels, export.calibration_rows)),
        Yardstick(read_rows("test", trained, table, splits, home), float(record["threshold"])),
        record.get("threshold_budget"),
    )


def quantize(
    onnx: OnnxModel,
    trained: TrainedModel,
    table: FeatureTable,
    splits: Splits,
    export: Export,
    *,
    home: Path,
    out: Path,
    progress: Progress = silent,
) -> Variants:
    """Write a graph a variant, measurements.json, and the scores and latency samples of each as evidence."""
    require_free_disk(out, _GRAPHS * (onnx.locate(home) / GRAPH).stat().st_size + _EVIDENCE_BYTES)
    with complete_folder(out) as folder:
        progress(0, 100, "reading the calibration and test rows")
        subject = read_subject(onnx, trained, table, splits, export, home=home)
        prepared = folder / "prepared.onnx"
        prepare(subject.graph, prepared)
        for recipe in EVERY_RUN:
            progress(10, 100, f"making {recipe.name}")
            make_variant(recipe, subject.graph, prepared, subject.calibration, folder)
        prepared.unlink()
        variants = measure_variants(EVERY_RUN, subject.yardstick, folder, progress=part_of(progress, 15, 100))
        write_json(folder / MEASUREMENTS, measurement_record(variants, subject))
        write_made_from(folder, MadeFrom(onnx, trained, table, splits))
    progress(100, 100, f"{len(variants)} variants measured")
    return Variants(path=os.path.relpath(out, home), sha256=sha256_path(out), run_id=onnx.run_id)


def measurement_record(variants: Mapping[str, Figures], subject: Subject) -> dict[str, Any]:
    return {
        "variants": variants,
        "threshold": subject.yardstick.threshold,
        "threshold_budget": subject.threshold_budget,
        "test_rows": len(subject.yardstick.rows),
        "calibration_rows": len(subject.calibration),
        "calibration_frauds": int(subject.calibration.labels.sum()),
        "machine": {
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "provider": PROVIDER,
            "cores": os.cpu_count(),
            "threads": 1,
        },
    }


def _training_record(trained: Path) -> dict[str, Any]:
    record = cast("dict[str, Any]", json.loads((trained / "training.json").read_text()))
    threshold = record.get("threshold")
    if not isinstance(threshold, float | int) or not np.isfinite(threshold):
        raise RecordInvalid(f"{trained / 'training.json'} names no threshold ({threshold!r}). Train the model again.")
    return record
