"""The session runs on what was asked for, and says so; it never falls back in silence."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from sentinel.errors import ServiceUnavailable
from sentinel.scoring import PROVIDER, Scorer, available_providers
from tests.promotion.standins import graph

LISTED_BUT_IDLE = "AzureExecutionProvider"  # in every ONNX Runtime for CPUs; it computes nothing of such a graph


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return graph(tmp_path / "model.onnx")


def test_the_providers_that_compute_are_logged_once_a_session(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sentinel.scoring"):
        scorer = Scorer(model)
        scorer.run(np.zeros((2, 4)))
        scorer.run(np.zeros((2, 4)))
    assert scorer.providers == (PROVIDER,) and scorer.nodes[PROVIDER] > 0
    assert [record.message for record in caplog.records] == [
        f"model.onnx runs on CPUExecutionProvider ({scorer.nodes[PROVIDER]} nodes)"
    ]


def test_a_provider_that_this_onnx_runtime_has_not_is_refused(model: Path) -> None:
    absent = next(
        name for name in ("CUDAExecutionProvider", "CoreMLExecutionProvider") if name not in available_providers()
    )
    with pytest.raises(ServiceUnavailable, match=f"has no {absent}, only .*{PROVIDER}"):
        Scorer(model, provider=absent)


@pytest.mark.skipif(LISTED_BUT_IDLE not in available_providers(), reason="this ONNX Runtime has no such provider")
def test_a_provider_that_is_listed_and_computes_nothing_is_refused(model: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=f"0 of [0-9]+ nodes on {LISTED_BUT_IDLE}, which was asked for"):
        Scorer(model, provider=LISTED_BUT_IDLE)


def test_threads_that_score_side_by_side_keep_the_order(model: Path) -> None:
    numeric = np.random.default_rng(1).random((2500, 4)) * [0, 9000, 0, 0]
    alone, together = Scorer(model).score(numeric), Scorer(model, 3).score(numeric)
    assert (alone == together).all() and len(set(alone.tolist())) > 1000
    assert Scorer(model, 2).score(numeric[:0]).shape == (0,)
