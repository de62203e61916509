"""What a variant is worth on the test rows and costs on this machine. Measured here, judged elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.export.rows import Rows
from sentinel.metrics import expected_calibration_error, kl_divergence, pr_auc, roc_auc
from sentinel.scoring import Probability, Scorer, measure_latency_ms

ROUNDS, REQUESTS_A_ROUND = 160, 25  # single-row requests; the variants take turns, so that a busy moment hits all
THROUGHPUT_BATCHES = (256, 4096)
_THROUGHPUT_SECONDS = 0.4
_LATENCY_ROWS = 1000
_WARM_UP, _WARM_UP_A_ROUND = 100, 2
_BATCH_ROWS = 512  # asked one at a time and together


@dataclass(frozen=True)
class Quality:
    """Against the labels, and against fp32's scores of the same rows at the same threshold."""

    pr_auc: float
    roc_auc: float
    expected_calibration_error: float
    recall_at_budget: float  # of the frauds, at the threshold that keeps the alert budget
    pr_auc_loss: float
    kl_divergence: float
    largest_shift: float
    mean_shift: float
    flagged: int  # test rows at or above the threshold
    flips: int
    flipped_fraction: float
    flipped_amount_minor: int
    newly_flagged: int
    newly_missed: int
    newly_missed_fraud_amount_minor: int
    distinct_scores: int


def measure_quality(rows: Rows, scores: Probability, reference: Probability, threshold: float) -> Quality | None:
    """None when a score is not finite: such a variant has no quality, and what is not measured does not pass."""
    if not (np.isfinite(scores).all() and np.isfinite(reference).all()):
        return None
    labels, shift = rows.labels, np.abs(scores.astype(np.float64) - reference)
    flagged = scores.astype(np.float64) >= threshold  # float32 would round the threshold
    flagged_by_fp32 = reference.astype(np.float64) >= threshold
    flipped, missed = flagged != flagged_by_fp32, flagged_by_fp32 & ~flagged
    own = pr_auc(labels, scores)
    return Quality(
        pr_auc=own,
        roc_auc=roc_auc(labels, scores),
        expected_calibration_error=expected_calibration_error(labels, scores),
        recall_at_budget=float(flagged[labels].mean()),
        pr_auc_loss=pr_auc(labels, reference) - own,
        kl_divergence=kl_divergence(reference, scores),
        largest_shift=float(shift.max()),
        mean_shift=float(shift.mean()),
        flagged=int(flagged.sum()),
        flips=int(flipped.sum()),
        flipped_fraction=float(flipped.mean()),
        flipped_amount_minor=int(rows.amounts[flipped].sum()),
        newly_flagged=int((flagged & ~flagged_by_fp32).sum()),
        newly_missed=int(missed.sum()),
        newly_missed_fraud_amount_minor=int(rows.amounts[missed & labels].sum()),
        distinct_scores=len(np.unique(scores)),
    )


def measure_latencies_ms(scorers: Mapping[str, Scorer], rows: Rows) -> dict[str, list[float]]:
    """Samples of single-row requests by variant, in short turns after a warm-up."""
    singles = rows.spread(_LATENCY_ROWS)
    samples: dict[str, list[float]] = {name: [] for name in scorers}
    for turn in range(ROUNDS):
        start = turn * REQUESTS_A_ROUND % len(singles)
        block = singles.take(np.arange(start, start + REQUESTS_A_ROUND) % len(singles))
        for name, scorer in scorers.items():
            samples[name] += measure_latency_ms(
                scorer, block.numeric, block.categorical,
                requests=REQUESTS_A_ROUND, warm_up=_WARM_UP_A_ROUND if turn else _WARM_UP,
            )  # fmt: skip
    return samples


def measure_batch_shift(scorer: Scorer, rows: Rows) -> float:
    """The largest change of a row's probability between the row alone and the row among others."""
    some = rows.spread(_BATCH_ROWS)
    together = scorer.run(some.numeric, some.categorical)
    alone = [scorer.run(some.numeric[at : at + 1], some.categorical[at : at + 1])[0] for at in range(len(some))]
    return float(np.abs(together.astype(np.float64) - np.asarray(alone, np.float64)).max())


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
