"""Stage quantize: the FP32 and the INT8 variant, both measured here, with what each figure was computed from.

Every variant decides at the one threshold that training set on the calibration part. A threshold of its own for
each variant was tried: INT8 then flipped .020 % of the decisions instead of .022 %, not worth a second owner.
"""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.artifacts import FeatureTable, OnnxModel, Splits, TrainedModel, Variants
from sentinel.config import Export
from sentinel.errors import RecordInvalid
from sentinel.export.choice import FP32, INT8, MEASUREMENTS
from sentinel.export.int8_graph import METHOD, count_integer_products, sample_calibration, write_int8
from sentinel.export.measurement import as_figures, measure_latencies_ms, measure_quality, measure_throughput
from sentinel.export.onnx_graph import GRAPH
from sentinel.export.rows import Rows, read_rows
from sentinel.progress import Progress, silent
from sentinel.scoring import PROVIDER, Probability, Scorer
from sentinel.storage import complete_folder, require_free_disk, sha256_file, sha256_path, write_json

_SCORING_THREADS = 2  # of the pass over the test rows; latency and throughput are measured with one
_EVIDENCE_BYTES = 100_000_000


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
    """Write fp32.onnx, int8.onnx, measurements.json, and the scores and latency samples of each as evidence."""
    source = onnx.locate(home) / GRAPH
    require_free_disk(out, 6 * source.stat().st_size + _EVIDENCE_BYTES)
    threshold = _threshold(trained.locate(home))
    with complete_folder(out) as folder:
        graphs = {name: folder / f"{name}.onnx" for name in (FP32, INT8)}
        shutil.copyfile(source, graphs[FP32])
        progress(0, 6, "calibrating")
        calibration = read_rows("calibration", trained, table, splits, home)
        calibration = calibration.take(sample_calibration(calibration.labels, export.calibration_rows))
        write_int8(source, graphs[INT8], calibration, folder)
        progress(1, 6, "reading the test rows")
        rows = read_rows("test", trained, table, splits, home)
        variants = _measure(graphs, rows, threshold, folder, progress)
        write_json(folder / MEASUREMENTS, _record(variants, threshold, len(rows), calibration))
    progress(6, 6, "both variants measured")
    return Variants(path=os.path.relpath(out, home), sha256=sha256_path(out), run_id=onnx.run_id)


def _measure(
    graphs: dict[str, Path], rows: Rows, threshold: float, folder: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    """The figures of each variant; their evidence is written beside the graphs."""
    scores: dict[str, Probability] = {}
    for done, (name, graph) in enumerate(graphs.items(), start=2):
        progress(done, 6, f"scoring the test rows with {name}")
        scores[name] = Scorer(graph, _SCORING_THREADS).score(rows.numeric, rows.categorical)
        _write_scores(folder / f"scores_{name}.parquet", rows, scores[name])
    progress(4, 6, "measuring latency and throughput")
    scorers = {name: Scorer(graph) for name, graph in graphs.items()}
    samples = measure_latencies_ms(scorers, rows)
    variants: dict[str, dict[str, Any]] = {}
    for name, graph in graphs.items():
        write_json(folder / f"latency_{name}.json", {"samples_ms": samples[name], "threads": 1})
        quality = measure_quality(rows, scores[name], scores[FP32], threshold)
        variants[name] = {
            "bytes": graph.stat().st_size,
            "sha256": sha256_file(graph),
            "integer_matrix_products": count_integer_products(graph, folder),
            "providers": list(scorers[name].providers),
            **as_figures(quality, samples[name], measure_throughput(scorers[name], rows)),
        }
    return variants


def _record(variants: dict[str, dict[str, Any]], threshold: float, rows: int, calibration: Rows) -> dict[str, Any]:
    return {
        "variants": variants,
        "threshold": threshold,
        "test_rows": rows,
        "method": METHOD,
        "calibration_rows": len(calibration),
        "calibration_frauds": int(calibration.labels.sum()),
        "machine": {
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "provider": PROVIDER,
            "cores": os.cpu_count(),
            "threads": 1,
        },
    }


def _threshold(trained: Path) -> float:
    threshold = json.loads((trained / "training.json").read_text()).get("threshold")
    if not isinstance(threshold, float | int) or not np.isfinite(threshold):
        raise RecordInvalid(f"{trained / 'training.json'} names no threshold ({threshold!r}). Train the model again.")
    return float(threshold)


def _write_scores(path: Path, rows: Rows, scores: Probability) -> None:
    pq.write_table(rows.identity.append_column("probability", pa.array(scores)), path, compression="zstd")
