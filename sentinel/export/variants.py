"""Making variants of one fp32 graph, and measuring them side by side with what each figure was computed from."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.export.fp16_graph import write_fp16
from sentinel.export.int8_graph import count_integer_products, write_int8
from sentinel.export.quality import measure_batch_shift, measure_quality
from sentinel.export.recipes import FP32, Recipe
from sentinel.export.rows import Rows
from sentinel.export.speed import ROUNDS, Latencies, measure_latencies, measure_throughput
from sentinel.progress import Progress, silent
from sentinel.scoring import Probability, Scorer
from sentinel.storage import sha256_file, write_json

_SCORING_THREADS = 2  # of the pass over the test rows; latency and throughput are measured with one
Figures = dict[str, Any]  # of one variant, by their names in measurements.json


@dataclass(frozen=True)
class Yardstick:
    """What every variant is measured on: the test rows, and the threshold that training set for the alert budget.

    A threshold of its own for each variant was tried: INT8 then flipped .020 % of the decisions instead of .022 %, not
    worth a second owner.
    """

    rows: Rows
    threshold: float


def make_variant(recipe: Recipe, fp32: Path, prepared: Path, calibration: Rows, folder: Path) -> Path:
    """Write `<name>.onnx` into `folder`. `prepared` is `fp32` as quantizers want it."""
    graph = folder / f"{recipe.name}.onnx"
    if recipe.method == "fp32":
        shutil.copyfile(fp32, graph)
    elif recipe.method == "fp16":
        write_fp16(prepared, graph)
    else:
        write_int8(prepared, graph, recipe, calibration)
    return graph


def measure_variants(
    recipes: Sequence[Recipe], yardstick: Yardstick, folder: Path, *, rounds: int = ROUNDS, progress: Progress = silent
) -> dict[str, Figures]:
    """The figures of each variant whose graph lies in `folder`, fp32 among them.

    Written beside the graphs, for whoever computes a figure again: scores_<variant>.parquet, latency_<variant>.json.
    """
    steps = 2 * len(recipes) + 1
    scores: dict[str, Probability] = {}
    for done, recipe in enumerate(recipes):
        progress(done, steps, f"scoring the test rows with {recipe.name}")
        scorer = Scorer(folder / f"{recipe.name}.onnx", _SCORING_THREADS, provider=recipe.provider)
        scores[recipe.name] = scorer.score(yardstick.rows.numeric, yardstick.rows.categorical)
        _write_scores(folder / f"scores_{recipe.name}.parquet", yardstick.rows, scores[recipe.name])
    progress(len(recipes), steps, "measuring the latency of single requests")
    scorers = {recipe.name: Scorer(folder / f"{recipe.name}.onnx", provider=recipe.provider) for recipe in recipes}
    latencies = measure_latencies(scorers, yardstick.rows, rounds)
    variants: dict[str, Figures] = {}
    for done, recipe in enumerate(recipes, start=len(recipes) + 1):
        progress(done, steps, f"measuring the throughput of {recipe.name}")
        name, scorer = recipe.name, scorers[recipe.name]
        _write_latencies(folder / f"latency_{name}.json", latencies[name])
        variants[name] = {
            **_facts(recipe, folder, scorer),
            **_quality(yardstick, scores[name], scores[FP32]),
            "largest_batch_shift": measure_batch_shift(scorer, yardstick.rows),
            **latencies[name].figures(),
            **measure_throughput(scorer, yardstick.rows),
        }
    return variants


def _facts(recipe: Recipe, folder: Path, scorer: Scorer) -> Figures:
    graph = folder / f"{recipe.name}.onnx"
    return {
        "precision": recipe.precision,
        "method": recipe.description,
        "bytes": graph.stat().st_size,
        "sha256": sha256_file(graph),
        "integer_matrix_products": count_integer_products(graph, folder),
        "providers": list(scorer.providers),
    }


def _quality(yardstick: Yardstick, scores: Probability, reference: Probability) -> Figures:
    quality = measure_quality(yardstick.rows, scores, reference, yardstick.threshold)
    not_finite = int((~np.isfinite(scores)).sum())
    return {"scores_not_finite": not_finite, **(asdict(quality) if quality else {})}


def _write_scores(path: Path, rows: Rows, scores: Probability) -> None:
    pq.write_table(rows.identity.append_column("probability", pa.array(scores)), path, compression="zstd")


def _write_latencies(path: Path, latencies: Latencies) -> None:
    kept = {"samples_ms": latencies.samples_ms, "interrupted_ms": latencies.interrupted_ms, "threads": 1}
    write_json(path, kept)
