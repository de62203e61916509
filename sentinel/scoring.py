"""The runtime that serves a graph: one ONNX Runtime session, its threads and its providers fixed.

Knows nothing of torch, tables or thresholds. Inputs and output are those of the exported graph:
`numeric` float64 [N, K], `categorical` int64 [N, C] (absent when C = 0), `probability` float32 [N].
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from sentinel.errors import RecordInvalid, ServiceUnavailable

_runtime: Any = onnxruntime  # the library carries no types
PROVIDER = "CPUExecutionProvider"
logger = logging.getLogger("sentinel.scoring")
_LOG_ERRORS_ONLY = 3
_BLOCK = 512  # rows of one run in `score`: the encoded block stays in the processor's cache

Numeric = npt.NDArray[np.float64]
Categorical = npt.NDArray[np.int64]
Probability = npt.NDArray[np.float32]


class Scorer:
    """Scores rows with one graph. Raises RecordInvalid when the file is no graph of ours."""

    def __init__(
        self, graph: Path, threads: int = 1, *, provider: str = PROVIDER, optimized: Path | None = None
    ) -> None:
        """`optimized`: where the graph is written as ONNX Runtime will execute it on this machine.

        Raises ServiceUnavailable when another provider than `provider` would compute: ONNX Runtime falls back silently.
        """
        self._session = _session(graph, _options(threads, optimized), provider)
        self.providers: tuple[str, ...] = tuple(cast(list[str], self._session.get_providers()))
        if self.providers != tuple(_in_order(provider)):
            raise ServiceUnavailable(
                f"{graph.name} runs on {', '.join(self.providers)}, not on {provider}: its measurements would not be "
                "those of serving. See with `sentinel doctor` what this machine has, and install the locked ONNX "
                "Runtime (make run does)."
            )
        logger.info("%s runs on %s with %d threads.", graph.name, ", ".join(self.providers), threads)
        self._has_categorical = "categorical" in [node.name for node in self._session.get_inputs()]

    def score(self, numeric: Numeric, categorical: Categorical | None = None) -> Probability:
        """One probability a row, in blocks, so that memory does not grow with the rows."""
        starts = range(0, len(numeric), _BLOCK)
        blocks = [self.run(numeric[at : at + _BLOCK], _block(categorical, at)) for at in starts]
        return np.concatenate(blocks) if blocks else np.empty(0, np.float32)

    def run(self, numeric: Numeric, categorical: Categorical | None = None) -> Probability:
        """The graph run once on all rows. `categorical` is left out for a graph that has no such input."""
        feed: dict[str, Any] = {"numeric": numeric}
        if self._has_categorical:
            if categorical is None:
                raise RecordInvalid("The graph has categorical inputs, and none were given. Encode them and try again.")
            feed["categorical"] = categorical
        return cast(Probability, self._session.run(["probability"], feed)[0])


def measure_latency_ms(
    scorer: Scorer, numeric: Numeric, categorical: Categorical, *, requests: int = 1000, warm_up: int = 100
) -> list[float]:
    """Milliseconds of each of `requests` single-row requests, in order, after `warm_up` uncounted ones."""
    singles = [(numeric[row : row + 1], categorical[row : row + 1]) for row in range(min(len(numeric), requests))]
    for turn in range(warm_up):
        scorer.run(*singles[turn % len(singles)])
    samples: list[float] = []
    for turn in range(requests):
        single = singles[turn % len(singles)]
        start = time.perf_counter_ns()
        scorer.run(*single)
        samples.append((time.perf_counter_ns() - start) / 1e6)
    return samples


def _block(categorical: Categorical | None, start: int) -> Categorical | None:
    return None if categorical is None else categorical[start : start + _BLOCK]


def _options(threads: int, optimized: Path | None) -> Any:
    options: Any = _runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = _runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _LOG_ERRORS_ONLY
    if optimized is not None:
        options.optimized_model_filepath = os.fspath(optimized)
    return options


def available_providers() -> list[str]:
    """What this ONNX Runtime can compute on here; the one that asks a remote service is none of them."""
    return [name for name in cast(list[str], _runtime.get_available_providers()) if name != "AzureExecutionProvider"]


def _in_order(provider: str) -> list[str]:
    """ONNX Runtime always has its CPU provider behind another one, for what that does not compute."""
    return [provider] if provider == PROVIDER else [provider, PROVIDER]


def _session(graph: Path, options: Any, provider: str) -> Any:
    if provider not in _runtime.get_available_providers():
        raise ServiceUnavailable(
            f"{provider} is not among what this ONNX Runtime has ({', '.join(available_providers())}). Install the "
            "locked packages for this machine (make run does)."
        )
    try:
        return _runtime.InferenceSession(os.fspath(graph), options, providers=_in_order(provider))
    except Exception as error:  # ONNX Runtime's own exception classes have no common base but this one
        raise RecordInvalid(
            f"{graph} is no graph that ONNX Runtime can load ({error}). Export the model anew."
        ) from error
