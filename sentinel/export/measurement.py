"""What a variant is worth on the test rows and costs on this machine. Measured here, judged elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.export.rows import Rows
from sentinel.metrics import expected_calibration_error, pr_auc, roc_auc
from sentinel.scoring import Probability, Scorer, measure_latency_ms

ROUNDS, REQUESTS_A_ROUND = 4, 250  # single-row requests; the variants take turns, so that a busy moment hits all
THROUGHPUT_BATCHES = (256, 4096)
_THROUGHPUT_SECONDS = 0.4
_LATENCY_ROWS = 1000


@dataclass(frozen=True)
class Quality:
    """Against the labels, and against fp32's scores of the same rows at the same threshold."""

    pr_auc: float
    roc_auc: float
    expected_calibration_error: float
    pr_auc_loss: float
    largest_shift: float
    mean_shift: float
    flagged: int  # test rows at or above the threshold
    flips: int
    flipped_fraction: float
    flipped_amount_minor: int
    distinct_scores: int


def measure_quality(rows: Rows, scores: Probability, reference: Probability, threshold: float) -> Quality | None:
    """None when a score is not finite: such a variant has no quality, and what is not measured does not pass."""
    if not (np.isfinite(scores).all() and np.isfinite(reference).all()):
        return None
    labels, shift = rows.labels, np.abs(scores.astype(np.float64) - reference)
    flagged = scores.astype(np.float64) >= threshold  # float32 would round the threshold
    flipped = flagged != (reference.astype(np.float64) >= threshold)
    own = pr_auc(labels, scores)
    return Quality(
        pr_auc=own,
        roc_auc=roc_auc(labels, scores),
        expected_calibration_error=expected_calibration_error(labels, scores),
        pr_auc_loss=pr_auc(labels, reference) - own,
        largest_shift=float(shift.max()),
        mean_shift=float(shift.mean()),
        flagged=int(flagged.sum()),
        flips=int(flipped.sum()),
        flipped_fraction=float(flipped.mean()),
        flipped_amount_minor=int(rows.amounts[flipped].sum()),
        distinct_scores=len(np.unique(scores)),
    )


def measure_latencies_ms(scorers: Mapping[str, Scorer], rows: Rows) -> dict[str, list[float]]:
    """Samples of single-row requests by variant, after a warm-up in each round."""
    singles = rows.spread(_LATENCY_ROWS)
    samples: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(ROUNDS):
        for name, scorer in scorers.items():
            samples[name] += measure_latency_ms(scorer, singles.numeric, singles.categorical, requests=REQUESTS_A_ROUND)
    return samples


def measure_throughput(scorer: Scorer, rows: Rows) -> dict[str, float]:
    """Rows a second of whole batches; a batch repeats rows when the part has fewer."""
    measured: dict[str, float] = {}
    for batch in THROUGHPUT_BATCHES:
        block = rows.take(np.resize(np.arange(len(rows)), batch))
        measured[f"throughput_{batch}_rows_per_s"] = _rows_per_second(scorer, block)
    return measured


def _rows_per_second(scorer: Scorer, block: Rows) -> float:
    scorer.run(block.numeric, block.categorical)
    start, turns = time.perf_counter(), 0
    while time.perf_counter() - start < _THROUGHPUT_SECONDS:
        scorer.run(block.numeric, block.categorical)
        turns += 1
    return turns * len(block) / (time.perf_counter() - start)


def quantiles_ms(samples: list[float]) -> dict[str, float]:
    p50, p99 = (float(value) for value in _upper(samples, (0.5, 0.99)))
    return {"latency_p50_ms": p50, "latency_p99_ms": p99}


def _upper(samples: list[float], shares: tuple[float, ...]) -> NDArray[np.float64]:
    return np.quantile(np.asarray(samples), shares, method="higher")


def as_figures(quality: Quality | None, samples: list[float], throughput: Mapping[str, float]) -> dict[str, Any]:
    return {**(asdict(quality) if quality else {}), **quantiles_ms(samples), **throughput}
