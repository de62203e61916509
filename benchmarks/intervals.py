"""Intervals of the test part's figures and of its slices, beside scikit-learn on rows drawn anew.

    python -m benchmarks.intervals [--json FILE] [--rows 350000]

Both take 200 resamples. The peer draws the rows and calls scikit-learn's average precision, or our calibration error,
on each sample. `every slice` is the whole of a report: 35 slices of eight groupings, each with its interval of pr_auc.
The ratio is to Sentinel. One thread; drawing the data is not in the time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import make_document, measure, publish

PACKAGES = ("numpy", "scikit-learn")
RESAMPLES = 200
CASES = ("pr_auc", "calibration error", "every slice")
VALUES_OF_GROUPINGS = (5, 9, 3, 8, 4, 2, 2, 2)  # amount bands, three columns, fraud kinds, new or known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--rows", type=int, default=350_000, help="test rows, 1.4 % of them frauds")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    measurements = [
        measure(__spec__.name, {"rows": options.rows, "case": case, "contender": contender}, case, contender)
        for case in CASES
        for contender in ("sentinel", "rows anew")
        if (case, contender) != ("every slice", "rows anew")
    ]
    publish(make_document("intervals", PACKAGES, measurements, lambda each: f"{each.case}/sentinel"), options.json)


def _work(rows: int, case: str, contender: str) -> dict[str, Any]:
    from sentinel.metrics import expected_calibration_error, pr_auc
    from sentinel.slices import Grouping
    from sentinel.training.judging.calibration_error import calibration_error_estimate
    from sentinel.training.judging.intervals import pr_auc_estimate
    from sentinel.training.judging.slices import judge_slices

    random = np.random.default_rng(7)
    scores = 1 / (1 + np.exp(6 - 2 * random.normal(size=rows)))
    labels = random.random(rows) < scores
    groupings = [
        Grouping(f"column {at}", tuple(map(str, range(values))), random.integers(0, values, rows))
        for at, values in enumerate(VALUES_OF_GROUPINGS)
    ]
    works: dict[tuple[str, str], Callable[[], Any]] = {
        ("pr_auc", "sentinel"): lambda: pr_auc_estimate(labels, scores, 0),
        ("pr_auc", "rows anew"): lambda: _resample(pr_auc, labels, scores),
        ("calibration error", "sentinel"): lambda: calibration_error_estimate(labels, scores, 0),
        ("calibration error", "rows anew"): lambda: _resample(expected_calibration_error, labels, scores),
        ("every slice", "sentinel"): lambda: len(judge_slices(groupings, labels, scores, 0.2, 14, 0)),
    }
    started = time.perf_counter()
    found = works[case, contender]()
    return {"seconds": time.perf_counter() - started, "frauds": int(labels.sum()), "found": str(found)}


def _resample(
    figure: Callable[..., float], labels: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[float, float]:
    random = np.random.default_rng(0)
    samples = (random.integers(0, len(labels), len(labels)) for _ in range(RESAMPLES))
    low, high = np.quantile([figure(labels[rows], scores[rows]) for rows in samples], [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
