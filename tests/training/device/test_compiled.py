from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import TrainingFailed
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.model.network import FraudNet
from sentinel.model.row_dropout import RowKeys
from sentinel.training.data.rows import Rows, make_rows
from sentinel.training.device.compiled import (
    WORTH_TRYING_SECONDS,
    FixedSize,
    Trial,
    choose_compile,
    decide,
    decision_key,
    missing_compiler,
    pays,
)
from sentinel.training.device.hardware import Hardware, deterministic
from sentinel.training.preparation import make_network
from tests.model.raw import feature_set, features_table
from tests.training.conftest import SETTINGS

CPU = Hardware(torch.device("cpu"), "fp32")
FEATURES = feature_set(categorical=())
INPUTS = ModelInputs.from_feature_set(FEATURES)
BATCH = 64


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows(features_table(600), INPUTS, DerivedFeatures(INPUTS, FEATURES))


@pytest.fixture
def net(rows: Rows) -> FraudNet:
    with deterministic(1):
        return make_network(rows, DerivedFeatures(INPUTS, FEATURES), INPUTS, FEATURES, SETTINGS)


@pytest.fixture
def batch(rows: Rows) -> Rows:
    return rows.take(torch.arange(BATCH))


class Timed(Trial):
    """A trial whose clock is told what to show."""

    def __init__(self, eager: float, compiled: float, compiling: float) -> None:
        self.told, self.compiled = (eager, compiled, compiling), None
        self.hardware = CPU
        self.was_compiled = False

    def eager_seconds(self) -> float:
        return self.told[0]

    def compiled_seconds(self) -> float:
        return self.told[1]

    def compile(self) -> float:
        self.was_compiled = True
        return self.told[2]


def test_a_short_training_is_not_worth_the_try() -> None:
    trial = Timed(eager=0.001, compiled=0.0001, compiling=30)
    decided = decide(trial, steps=int(WORTH_TRYING_SECONDS * 1000))
    assert not decided.is_compiled and "too little" in decided.reason and not trial.was_compiled


@pytest.mark.skipif(missing_compiler(CPU) is not None, reason="this machine cannot compile")
@pytest.mark.parametrize(("compiled", "is_compiled"), [(0.005, True), (0.0099, False), (0.02, False)])
def test_a_long_training_is_compiled_where_the_measurement_says_so(compiled: float, is_compiled: bool) -> None:
    decided = decide(Timed(eager=0.01, compiled=compiled, compiling=60), steps=50_000)
    assert decided.is_compiled == is_compiled
    assert (decided.eager_step_ms, decided.compiled_step_ms, decided.compile_seconds) == (10, compiled * 1000, 60)


@pytest.mark.skipif(missing_compiler(CPU) is not None, reason="this machine cannot compile")
@pytest.mark.parametrize("kind", [ValueError, OSError, AssertionError, KeyError])
def test_a_compiler_that_fails_leaves_the_training_eager_and_is_named(
    net: FraudNet, batch: Rows, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("no such operator.\nmore")

    monkeypatch.setattr(torch, "compile", fail)
    trial = Trial(net, batch, CPU)
    decided = decide(trial, steps=10**9)
    assert not decided.is_compiled and trial.compiled is None
    assert decided.reason.startswith(f"torch.compile fails: {kind.__name__}: ") and "operator" in decided.reason


seconds = st.floats(1e-6, 1e3)


@given(seconds, seconds, seconds, st.integers(0, 10**7))
def test_what_pays_is_faster_in_all(eager: float, compiled: float, compiling: float, steps: int) -> None:
    if pays(eager, compiled, compiling, steps):
        assert compiled < eager
        assert pays(eager, compiled, compiling, steps + 1)


def test_off_is_eager_and_nothing_is_measured(net: FraudNet, batch: Rows, tmp_path: Path) -> None:
    score, decided = choose_compile(net, batch, 10**9, "off", CPU, tmp_path / "compile.json")
    assert score == net.network_logit and not decided.is_compiled and decided.eager_step_ms is None
    assert list(tmp_path.iterdir()) == []


def test_the_decision_is_remembered_and_not_measured_again(net: FraudNet, batch: Rows, tmp_path: Path) -> None:
    memory = tmp_path / "compile.json"
    first = choose_compile(net, batch, 1000, "auto", CPU, memory)[1]
    assert first.eager_step_ms and not first.is_compiled
    assert choose_compile(net, batch, 1000, "auto", CPU, memory)[1] == first
    choose_compile(net, batch, 2000, "auto", CPU, memory)
    assert len(json.loads(memory.read_text())) == 2
    memory.write_text("{damaged")
    choose_compile(net, batch, 1000, "auto", CPU, memory)
    assert len(json.loads(memory.read_text())) == 1


def test_measuring_leaves_the_network_as_it_was(net: FraudNet, batch: Rows) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    assert Trial(net, batch, CPU).eager_seconds() > 0
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_without_a_compiler_on_is_refused_and_auto_is_eager(
    net: FraudNet, batch: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    with pytest.raises(TrainingFailed, match=r'training\.compile is "on", and .*'):
        choose_compile(net, batch, 1000, "on", CPU, tmp_path / "compile.json")
    score, decided = choose_compile(net, batch, 10**9, "auto", CPU, tmp_path / "compile.json")
    assert score == net.network_logit and not decided.is_compiled
    assert "C++ compiler" in decided.reason or "Python" in decided.reason


def test_a_remembered_compilation_that_fails_now_runs_eagerly_and_says_so(
    net: FraudNet, batch: Rows, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, memory = Trial(net, batch, CPU), tmp_path / "compile.json"
    known = asdict(decide(Timed(0.001, 0.001, 1), 1)) | {"is_compiled": True, "reason": "it was faster"}
    memory.write_text(json.dumps({decision_key(trial, 1000, 1): known}))
    monkeypatch.setattr(torch, "compile", refuse)
    score, decided = choose_compile(net, batch, 1000, "auto", CPU, memory)
    assert score == net.network_logit and not decided.is_compiled
    assert "it was faster, but now torch.compile fails" in decided.reason and "last bits" in caplog.text


def refuse(*_: object, **__: object) -> None:
    raise RuntimeError("there is no compiler")


def test_only_batches_of_the_measured_size_go_through_the_compiled_network() -> None:
    def compiled(derived: torch.Tensor, categorical: torch.Tensor | None) -> torch.Tensor:
        return derived + 1

    score = FixedSize(compiled, lambda derived, categorical: derived, rows=3)
    assert score(torch.zeros(3)).sum() == 3
    assert score(torch.zeros(2)).sum() == score(torch.zeros(4)).sum() == 0


@pytest.mark.skipif(missing_compiler(CPU) is not None, reason="this machine cannot compile")
def test_a_compiled_network_learns_as_the_eager_one(net: FraudNet, batch: Rows, tmp_path: Path) -> None:
    """The one test that really compiles: some twenty seconds."""
    with deterministic(1):
        score, decided = choose_compile(net, batch, 1000, "on", CPU, tmp_path / "compile.json")
        assert decided.is_compiled and decided.compile_seconds
        gradients: list[torch.Tensor] = []
        for each in (score, net.network_logit):
            keys = RowKeys(net.train(), 0, BATCH, CPU.device)
            keys.use(7, 0, BATCH)
            each(batch.derived, batch.categorical).mean().backward()
            gradients.append(
                torch.cat([weight.grad.flatten() for weight in net.parameters() if weight.grad is not None])
            )
            net.zero_grad(set_to_none=True)
    assert (gradients[0] - gradients[1]).abs().max() < 1e-6
    assert gradients[1].abs().max() > 1e-3
