"""What a variant costs on this machine: latency of single requests, throughput of batches; one thread each."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from sentinel.export.rows import Rows
from sentinel.scoring import Scorer, measure_latency_ms

# The variants take turns of a few milliseconds, in an order that goes round, so that a busy moment hits all of them
# alike. A turn of one request would measure a cold cache, since each variant pushes the others' weights out.
ROUNDS, REQUESTS_A_ROUND, WARM_UP = 200, 25, 3
THROUGHPUT_BATCHES = (256, 4096)
_THROUGHPUT_SECONDS = 0.4
_LATENCY_ROWS = 1000


def measure_latencies_ms(scorers: Mapping[str, Scorer], rows: Rows, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Samples of single-row requests by variant."""
    singles = rows.spread(_LATENCY_ROWS)
    names, samples = list(scorers), {name: list[float]() for name in scorers}
    for turn in range(rounds):
        start = turn * REQUESTS_A_ROUND % len(singles)
        asked = singles.take(np.resize(np.roll(np.arange(len(singles)), -start), REQUESTS_A_ROUND))
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            samples[name] += measure_latency_ms(
                scorers[name], asked.numeric, asked.categorical, requests=REQUESTS_A_ROUND, warm_up=WARM_UP
            )
    return samples


def measure_throughput(scorer: Scorer, rows: Rows) -> dict[str, float]:
    """Rows a second of whole batches; a batch repeats rows when the part has fewer."""
    measured: dict[str, float] = {}
    for batch in THROUGHPUT_BATCHES:
        block = rows.take(np.resize(np.arange(len(rows)), batch))
        measured[f"throughput_{batch}_rows_per_s"] = _rows_per_second(scorer, block)
    return measured


def quantiles_ms(samples: list[float]) -> dict[str, float]:
    p50, p99 = (float(value) for value in np.quantile(np.asarray(samples), (0.5, 0.99), method="higher"))
    return {"latency_p50_ms": p50, "latency_p99_ms": p99}


def _rows_per_second(scorer: Scorer, block: Rows) -> float:
    scorer.run(block.numeric, block.categorical)
    start, turns = time.perf_counter(), 0
    while time.perf_counter() - start < _THROUGHPUT_SECONDS:
        scorer.run(block.numeric, block.categorical)
        turns += 1
    return turns * len(block) / (time.perf_counter() - start)
