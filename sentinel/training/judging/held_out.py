"""The held-out parts scored, and the network calibrated on the one that is for that."""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from sentinel.config import Training
from sentinel.model.network import FraudNet
from sentinel.progress import Progress
from sentinel.training.data.reading import score_part
from sentinel.training.data.rows import Rows, logits
from sentinel.training.data.source import Source
from sentinel.training.judging.calibration import fit_platt
from sentinel.training.judging.judgement import Scored, moments_us
from sentinel.training.judging.threshold import Threshold, choose_threshold
from sentinel.training.preparation import Prepared

SCORED = ("validation", "calibration", "test")


def score_parts(
    source: Source, prepared: Prepared, net: FraudNet, settings: Training, progress: Progress
) -> tuple[dict[str, Scored], Threshold]:
    """Each held-out part's probabilities; the network is calibrated on the calibration part."""
    progress(80, 100, "scoring the held-out rows")
    raw = {name: score_held_out(source, name, prepared, net) for name in SCORED}
    table, scores = raw["calibration"]
    threshold = calibrate(net, scores["network"], table, settings)
    scored = {
        name: Scored(table, is_fraud(table), probabilities(net, scores["network"]), scores["logistic"])
        for name, (table, scores) in raw.items()
    }
    return scored, threshold


def score_held_out(
    source: Source, part: str, prepared: Prepared, net: FraudNet
) -> tuple[pa.Table, dict[str, NDArray[np.float64]]]:
    """A part's describing columns, the network's uncalibrated logits [N] and the baseline's probabilities [N]."""

    def network(rows: Rows) -> NDArray[np.float64]:
        return logits(net, rows)

    scorers = {"network": network, "logistic": prepared.baseline.probability}
    return score_part(source, part, prepared.inputs, prepared.derive, scorers)


def probabilities(net: FraudNet, raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Calibrated, from uncalibrated logits [N], in the graph's own arithmetic."""
    with torch.inference_mode():
        return net.probability(torch.from_numpy(raw)).numpy().astype(np.float64)


def calibrate(net: FraudNet, raw: NDArray[np.float64], table: pa.Table, settings: Training) -> Threshold:
    """Fit the network's scale and shift on the calibration part, given its describing columns and raw logits [N].

    Returns the threshold that keeps the budget there.
    """
    scale, shift = fit_platt(raw, is_fraud(table))
    net.scale.fill_(scale)
    net.shift.fill_(shift)
    return choose_threshold(settings, is_fraud(table), probabilities(net, raw), moments_us(table))


def is_fraud(table: pa.Table) -> NDArray[np.bool_]:
    return table["is_fraud"].to_numpy().astype(bool)
