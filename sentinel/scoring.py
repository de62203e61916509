"""The runtime that serves a graph: one ONNX Runtime session, its threads and its provider fixed.

Knows nothing of torch, tables or thresholds. Inputs and output are those of the exported graph:
`numeric` float64 [N, K], `categorical` int64 [N, C] (absent when C = 0), `probability` float32 [N].
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from sentinel.errors import RecordInvalid, ServiceUnavailable

_runtime: Any = onnxruntime  # the library carries no types
PROVIDER = "CPUExecutionProvider"
_LOG_ERRORS_ONLY = 3
_BLOCK = 512  # rows of one run in `score`: the encoded block stays in the processor's cache

Numeric = npt.NDArray[np.float64]
Categorical = npt.NDArray[np.int64]
Probability = npt.NDArray[np.float32]

logger = logging.getLogger("sentinel.scoring")


class Scorer:
    """Scores rows with one graph on one provider, the CPU where none is asked for, and on no other in silence.

    Raises RecordInvalid when the file is no graph of ours, and ServiceUnavailable when the session does not run on
    what was asked for.
    """

    def __init__(
        self, graph: Path, threads: int = 1, *, provider: str = PROVIDER, optimized: Path | None = None
    ) -> None:
        """`threads` score blocks side by side, each of them on one core; a single request has one thread.

        `optimized`: where the graph is written as ONNX Runtime will execute it on this machine.
        """
        _require_available(provider)
        self._session, self._threads = _session(graph, _options(optimized), provider), threads
        self.nodes: Mapping[str, int] = _executed_nodes(self._session)
        self.providers: tuple[str, ...] = tuple(cast(list[str], self._session.get_providers()))
        _require_use(graph.name, provider, self.providers, self.nodes)
        shares = ", ".join(f"{name} ({self.nodes.get(name, 0)} nodes)" for name in self.providers)
        logger.info("%s runs on %s", graph.name, shares)
        self._has_categorical = "categorical" in [node.name for node in self._session.get_inputs()]

    def score(self, numeric: Numeric, categorical: Categorical | None = None) -> Probability:
        """One probability a row, in blocks, so that memory does not grow with the rows."""
        if not len(numeric):
            return np.empty(0, np.float32)

        def block(at: int) -> Probability:
            codes = None if categorical is None else categorical[at : at + _BLOCK]
            return self.run(numeric[at : at + _BLOCK], codes)

        with ThreadPoolExecutor(self._threads) as pool:  # ONNX Runtime gives the interpreter free while it computes
            return np.concatenate(list(pool.map(block, range(0, len(numeric), _BLOCK))))

    def run(self, numeric: Numeric, categorical: Categorical | None = None) -> Probability:
        """The graph run once on all rows. `categorical` is left out for a graph that has no such input."""
        feed: dict[str, Any] = {"numeric": numeric}
        if self._has_categorical:
            if categorical is None:
                raise RecordInvalid("The graph has categorical inputs, and none were given. Encode them and try again.")
            feed["categorical"] = categorical
        return cast(Probability, self._session.run(["probability"], feed)[0])


def available_providers() -> tuple[str, ...]:
    """What the installed ONNX Runtime was built with; whether one works here shows only in a session."""
    return tuple(cast(list[str], _runtime.get_available_providers()))


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


def _options(optimized: Path | None) -> Any:
    options: Any = _runtime.SessionOptions()
    options.intra_op_num_threads = 1  # a second one within a row's products took twice the processor for a tenth less
    options.inter_op_num_threads = 1
    options.execution_mode = _runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if optimized is not None:
        options.optimized_model_filepath = os.fspath(optimized)
    return options


def _session(graph: Path, options: Any, provider: str) -> Any:
    wanted = [provider] if provider == PROVIDER else [provider, PROVIDER]
    try:
        return _runtime.InferenceSession(os.fspath(graph), options, providers=wanted, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's own exception classes have no common base but this one
        if provider != PROVIDER:
            raise ServiceUnavailable(
                f"{graph.name} cannot run on {provider} here: {str(error).splitlines()[0]}. `sentinel doctor` checks "
                f"card, driver and libraries; without them ask for {PROVIDER}."
            ) from error
        raise RecordInvalid(
            f"{graph} is no graph that ONNX Runtime can load ({error}). Export the model anew."
        ) from error


def _executed_nodes(session: Any) -> Mapping[str, int]:
    """How many nodes of the graph each provider executes."""
    counted: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counted[str(part.ep_name)] += len(part.get_nodes())
    return dict(counted)


def _require_available(provider: str) -> None:
    if provider not in available_providers():
        raise ServiceUnavailable(
            f"The installed ONNX Runtime {_runtime.__version__} has no {provider}, only "
            f"{', '.join(available_providers())}. Install the lock of such a machine (make run does where a card is), "
            f"or ask for {PROVIDER}."
        )


def _require_use(graph: str, provider: str, providers: tuple[str, ...], nodes: Mapping[str, int]) -> None:
    """ONNX Runtime lists a provider that computes nothing, and leaves the work to the CPU without a word."""
    expected = (provider,) if provider == PROVIDER else (provider, PROVIDER)
    share = nodes.get(provider, 0) / max(1, sum(nodes.values()))
    if providers != expected or share < 0.5:
        raise ServiceUnavailable(
            f"{graph} runs on {', '.join(providers)} with {nodes.get(provider, 0)} of {sum(nodes.values())} nodes on "
            f"{provider}, which was asked for: what is measured would not be what serves. Install the locked ONNX "
            "Runtime (make run does), or ask for the provider that this machine has."
        )
