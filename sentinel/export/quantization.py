"""Stage quantize: the variants of every run, measured here, with what each figure was computed from.

Every variant decides at the one threshold that training set on the calibration part. A threshold of its own for
each variant was tried: INT8 then flipped .020 % of the decisions instead of .022 %, not worth a second owner.
"""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.artifacts import FeatureTable, OnnxModel, Splits, TrainedModel, Variants
from sentinel.config import Export
from sentinel.errors import RecordInvalid
from sentinel.export.choice import FP32, MEASUREMENTS
from sentinel.export.int8_graph import count_integer_products, prepared, sample_calibration
from sentinel.export.measurement import (
    as_figures,
    measure_batch_shift,
    measure_latencies_ms,
    measure_quality,
    measure_throughput,
)
from sentinel.export.onnx_graph import GRAPH
from sentinel.export.pareto import PICTURE, draw_pareto
from sentinel.export.rows import Rows, read_rows
from sentinel.export.variants import IN_EVERY_RUN, Variant, write_variants
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
    """Write a graph a variant, measurements.json, pareto.png, and the scores and latency samples of each as evidence.

    Raises RecordInvalid when the training recorded no threshold.
    """
    source = onnx.locate(home) / GRAPH
    require_free_disk(out, 8 * source.stat().st_size + _EVIDENCE_BYTES)
    threshold = read_threshold(trained.locate(home))
    steps = steps_of(IN_EVERY_RUN)
    with complete_folder(out) as folder:
        progress(0, steps, "calibrating")
        calibration = read_calibration(trained, table, splits, export, home)
        with prepared(source, folder) as ready:
            write_variants(IN_EVERY_RUN, source, ready, calibration, folder)
        progress(1, steps, "reading the test rows")
        rows = read_rows("test", trained, table, splits, home)
        figures = measure_variants(IN_EVERY_RUN, rows, threshold, folder, progress)
        record = make_record(figures, threshold, len(rows), calibration)
        write_json(folder / MEASUREMENTS, record)
        draw_pareto(record["variants"], folder / PICTURE)
    progress(steps, steps, "every variant measured")
    return Variants(path=os.path.relpath(out, home), sha256=sha256_path(out), run_id=onnx.run_id)


def steps_of(variants: Sequence[Variant]) -> int:
    return len(variants) + 3


def read_calibration(trained: TrainedModel, table: FeatureTable, splits: Splits, export: Export, home: Path) -> Rows:
    """The rows that static ranges are taken from."""
    rows = read_rows("calibration", trained, table, splits, home)
    return rows.take(sample_calibration(rows.labels, export.calibration_rows))


def measure_variants(
    variants: Sequence[Variant], rows: Rows, threshold: float, folder: Path, progress: Progress = silent
) -> dict[str, dict[str, Any]]:
    """The figures of each variant by its name; their evidence is written beside the graphs. The first one is fp32."""
    wanted = {variant.name: variant for variant in variants}
    graphs = {name: folder / f"{name}.onnx" for name in wanted}
    scores: dict[str, Probability] = {}
    for done, (name, graph) in enumerate(graphs.items(), start=2):
        progress(done, steps_of(variants), f"scoring the test rows with {name}")
        scores[name] = Scorer(graph, _SCORING_THREADS, provider=wanted[name].provider).score(
            rows.numeric, rows.categorical
        )
        _write_scores(folder / f"scores_{name}.parquet", rows, scores[name])
    progress(len(graphs) + 2, steps_of(variants), "measuring latency and throughput")
    scorers = {name: Scorer(graph, provider=wanted[name].provider) for name, graph in graphs.items()}
    samples = measure_latencies_ms(scorers, rows)
    figures: dict[str, dict[str, Any]] = {}
    for name, graph in graphs.items():
        write_json(folder / f"latency_{name}.json", {"samples_ms": samples[name], "threads": 1})
        quality = measure_quality(rows, scores[name], scores[FP32], threshold)
        figures[name] = {
            "description": wanted[name].description,
            "bytes": graph.stat().st_size,
            "sha256": sha256_file(graph),
            "integer_matrix_products": count_integer_products(graph, folder),
            "providers": list(scorers[name].providers),
            "batch_shift": measure_batch_shift(scorers[name], rows),
            **as_figures(quality, samples[name], measure_throughput(scorers[name], rows)),
        }
    return figures


def make_record(figures: dict[str, dict[str, Any]], threshold: float, rows: int, calibration: Rows) -> dict[str, Any]:
    """The content of measurements.json."""
    return {
        "variants": figures,
        "threshold": threshold,
        "test_rows": rows,
        "calibration_rows": len(calibration),
        "calibration_frauds": int(calibration.labels.sum()),
        "machine": {
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "provider": PROVIDER,
            "cores": os.cpu_count(),
            "threads": 1,
        },
    }


def read_threshold(trained: Path) -> float:
    threshold = json.loads((trained / "training.json").read_text()).get("threshold")
    if not isinstance(threshold, float | int) or not np.isfinite(threshold):
        raise RecordInvalid(f"{trained / 'training.json'} names no threshold ({threshold!r}). Train the model again.")
    return float(threshold)


def _write_scores(path: Path, rows: Rows, scores: Probability) -> None:
    pq.write_table(rows.identity.append_column("probability", pa.array(scores)), path, compression="zstd")
