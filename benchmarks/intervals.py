"""Intervals of the test part's figures and of its slices, beside SciPy's bootstrap of the rows.

    python -m benchmarks.intervals [--json FILE] [--rows 350000]

Both take 200 resamples. SciPy draws the rows and calls scikit-learn's average precision, or the calibration error, on
each sample. `every slice` is the whole of a report: 35 slices of eight groupings, each with its interval of pr_auc; its
ratio is to SciPy's single one. One thread; drawing the data is not in the time.
"""

# scipy carries no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Measurement, make_document, measure, publish

PACKAGES = ("numpy", "scikit-learn", "scipy")
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
        for contender in ("sentinel", "scipy")
        if (case, contender) != ("every slice", "scipy")
    ]
    publish(make_document("intervals", PACKAGES, measurements, _reference), options.json)


def _reference(measurement: Measurement) -> str:
    return f"{'pr_auc' if measurement.case == 'every slice' else measurement.case}/scipy"


def _work(rows: int, case: str, contender: str) -> dict[str, Any]:
    from sentinel.metrics import expected_calibration_error, pr_auc
    from sentinel.training.calibration_error import calibration_error_estimate
    from sentinel.training.intervals import pr_auc_estimate
    from sentinel.training.slices import Grouping, judge_slices

    random = np.random.default_rng(7)
    scores = 1 / (1 + np.exp(6 - 2 * random.normal(size=rows)))
    labels = random.random(rows) < scores
    groupings = [
        Grouping(f"column {at}", tuple(map(str, range(values))), random.integers(0, values, rows))
        for at, values in enumerate(VALUES_OF_GROUPINGS)
    ]
    works: dict[tuple[str, str], Callable[[], Any]] = {
        ("pr_auc", "sentinel"): lambda: pr_auc_estimate(labels, scores, 0),
        ("pr_auc", "scipy"): lambda: _resample(pr_auc, labels, scores),
        ("calibration error", "sentinel"): lambda: calibration_error_estimate(labels, scores, 0),
        ("calibration error", "scipy"): lambda: _resample(expected_calibration_error, labels, scores),
        ("every slice", "sentinel"): lambda: len(judge_slices(groupings, labels, scores, 0.2, 14, 0)),
    }
    if contender == "scipy":
        import scipy.stats  # noqa: F401  its import is not in the time
    started = time.perf_counter()
    found = works[case, contender]()
    return {"seconds": time.perf_counter() - started, "frauds": int(labels.sum()), "found": str(found)}


def _resample(figure: Callable[..., float], *data: Any) -> tuple[float, float]:
    from scipy.stats import bootstrap

    found = bootstrap(data, figure, n_resamples=200, vectorized=False, paired=True, method="percentile", rng=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


if __name__ == "__main__":
    main()
