"""What the graph costs, measured in a clean process by the runtime that serves."""

from __future__ import annotations

from typing import Any

import numpy as np

from sentinel.promotion.evidence import LATENCY, Evidence
from sentinel.promotion.measures.measured import Measured, UnmeasuredError

LEAST_REQUESTS = 1000  # a p99 of fewer samples is the luck of a handful
MEGABYTE = 1_000_000


def latency_p99_ms(evidence: Evidence) -> Measured:
    samples = np.asarray(_measured(evidence)["samples_ms"], np.float64)
    if len(samples) < LEAST_REQUESTS or not (np.isfinite(samples).all() and (samples > 0).all()):
        raise UnmeasuredError(f"{len(samples)} latency samples were recorded; {LEAST_REQUESTS} good ones are needed.")
    p50, p99 = (float(np.quantile(samples, share, method="higher")) for share in (0.5, 0.99))
    return Measured(p99, f"99 % of {len(samples):,} single requests took {p99:.3f} ms or less, half {p50:.3f} ms.")


def memory_mb(evidence: Evidence) -> Measured:
    value = _bytes(evidence, "peak_memory_bytes") / MEGABYTE
    return Measured(value, f"The process that answered them held {value:,.0f} MB at most, libraries included.")


def size_mb(evidence: Evidence) -> Measured:
    value = _bytes(evidence, "graph_bytes") / MEGABYTE
    return Measured(value, f"The graph is {value:,.2f} MB.")


def _bytes(evidence: Evidence, name: str) -> float:
    value = float(_measured(evidence)[name])
    if not value > 0:
        raise UnmeasuredError(f"{name} was recorded as {value}, which no process and no graph has.")
    return value


def _measured(evidence: Evidence) -> dict[str, Any]:
    found = evidence.read(LATENCY)
    if "problem" in found:
        raise UnmeasuredError(f"The clean process did not measure: {found['problem']}.")
    return found
