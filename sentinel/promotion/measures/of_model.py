"""Whether the graph that would serve is the model that was trained, and whether that one can be trained again."""

from __future__ import annotations

import math

import numpy as np

from sentinel.metrics import pr_auc
from sentinel.promotion.evidence import PARITY, TRAINING, Evidence
from sentinel.promotion.measures.measured import Measured, UnmeasuredError

WEIGHT_TOLERANCE = 1e-5  # the training's own, within which it says that weights are the same


def weight_difference(evidence: Evidence) -> Measured:
    found = evidence.read(TRAINING)["reproducibility"]
    kind, steps = str(found["kind"]), int(found["steps"])
    if found["problem"] is not None:
        raise UnmeasuredError(f"The training was not repeated: {found['problem']}. Another run trains anew.")
    if steps < 1:
        raise UnmeasuredError("No step of the training was repeated.")
    differs, largest = found["first_step_that_differs"], found["largest_difference"]
    if (kind == "bit-exact") != (differs is None):
        raise UnmeasuredError(f"The verdict {kind!r} is not what was found: the first step that differs is {differs}.")
    if largest is None:
        raise UnmeasuredError(f"From repeated step {differs} on the weights cannot be compared.")
    where = "" if differs is None else f" From step {differs} on they differ, by {largest:.1e} at most."
    return Measured(float(largest), f"A fresh process repeated {steps} steps: the weights are {kind}.{where}")


def parity(evidence: Evidence) -> Measured:
    value = float(evidence.read(PARITY)["max_absolute_difference"])
    return Measured(value, f"The fp32 graph's probabilities differ from torch's by {value:.1e} at most.")


def loss_to_fp32(evidence: Evidence) -> Measured:
    own, other = (pr_auc(evidence.labels, evidence.score(name)) for name in ("serving", "fp32"))
    return Measured(other - own, f"pr_auc is {own:.4f} for the variant that would serve and {other:.4f} for fp32.")


def flips(evidence: Evidence) -> Measured:
    threshold = float(evidence.read(TRAINING)["threshold"])
    own, other = evidence.score("serving"), evidence.score("fp32")
    if not (math.isfinite(threshold) and np.isfinite(own).all() and np.isfinite(other).all()):
        raise UnmeasuredError("The threshold or a score is no number.")
    flipped = int(((own >= threshold) != (other >= threshold)).sum())
    return Measured(
        flipped / len(own),
        f"{flipped:,} of {len(own):,} decisions at the threshold {threshold:.4f} differ from those of fp32.",
    )
