"""What a variant costs on this machine: latency of single requests, throughput of batches; one thread each."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sentinel.export.rows import Rows
from sentinel.scoring import Categorical, Numeric, Scorer

# The variants take turns of a few milliseconds, in an order that goes round, so that a busy moment hits all of them
# alike. A turn of one request would measure a cold cache, since each variant pushes the others' weights out.
ROUNDS, REQUESTS_A_ROUND, WARM_UP = 200, 25, 3
_LEAST_ROUNDS, _LATENCY_SECONDS = 40, 25  # a large network has fewer rounds
THROUGHPUT_BATCHES = (256, 4096)
_THROUGHPUT_SECONDS = 0.4
_LATENCY_ROWS = 1000


@dataclass(frozen=True)
class Latencies:
    """Milliseconds of single requests, in order.

    `interrupted_ms`: those during which the kernel gave the core to somebody else. On a busy machine they are one in a
    hundred or more and take its time slice, the same for every variant: a p99 with them chooses by lot.
    """

    undisturbed_ms: list[float] = field(default_factory=list[float])
    interrupted_ms: list[float] = field(default_factory=list[float])

    @property
    def samples_ms(self) -> list[float]:
        """What the quantiles are of: the undisturbed ones, or all where hardly any is."""
        if len(self.undisturbed_ms) < len(self.interrupted_ms):
            return [*self.undisturbed_ms, *self.interrupted_ms]
        return self.undisturbed_ms

    def figures(self) -> dict[str, float]:
        p50, p99 = (float(value) for value in np.quantile(self.samples_ms, (0.5, 0.99), method="higher"))
        return {
            "latency_p50_ms": p50,
            "latency_p99_ms": p99,
            "latency_samples": len(self.samples_ms),
            "interrupted_requests": len(self.interrupted_ms),
        }


def measure_latencies(scorers: Mapping[str, Scorer], rows: Rows, rounds: int = ROUNDS) -> dict[str, Latencies]:
    """Single-row requests by variant."""
    some = rows.spread(_LATENCY_ROWS)
    singles = [(some.numeric[at : at + 1], some.categorical[at : at + 1]) for at in range(len(some))]
    names, measured = list(scorers), {name: Latencies() for name in scorers}
    started = time.monotonic()
    for turn in range(rounds):
        if turn >= _LEAST_ROUNDS and time.monotonic() - started > _LATENCY_SECONDS:
            break
        asked = [singles[(turn * REQUESTS_A_ROUND + at) % len(singles)] for at in range(REQUESTS_A_ROUND)]
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            _ask(scorers[name], asked, measured[name])
    return measured


def measure_throughput(scorer: Scorer, rows: Rows) -> dict[str, float]:
    """Rows a second of whole batches; a batch repeats rows when the part has fewer."""
    measured: dict[str, float] = {}
    for batch in THROUGHPUT_BATCHES:
        block = rows.take(np.resize(np.arange(len(rows)), batch))
        measured[f"throughput_{batch}_rows_per_s"] = _rows_per_second(scorer, block)
    return measured


def _ask(scorer: Scorer, asked: list[tuple[Numeric, Categorical]], into: Latencies) -> None:
    for single in asked[:WARM_UP]:
        scorer.run(*single)
    for single in asked:
        before, start = _interruptions(), time.perf_counter_ns()
        scorer.run(*single)
        took_ms = (time.perf_counter_ns() - start) / 1e6
        (into.undisturbed_ms if _interruptions() == before else into.interrupted_ms).append(took_ms)


def _interruptions() -> int:
    """How often the kernel took the core from this thread, which alone runs a request."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def _rows_per_second(scorer: Scorer, block: Rows) -> float:
    scorer.run(block.numeric, block.categorical)
    start, turns = time.perf_counter(), 0
    while time.perf_counter() - start < _THROUGHPUT_SECONDS:
        scorer.run(block.numeric, block.categorical)
        turns += 1
    return turns * len(block) / (time.perf_counter() - start)
