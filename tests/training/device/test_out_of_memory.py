"""Memory that runs out before, in or after the steps ends a training in one wording, with the keys to turn."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
import xgboost

from sentinel.artifacts import FeatureTable, Splits
from sentinel.config import Training
from sentinel.errors import DataDamaged, TrainingFailed
from sentinel.model.encoding import feature_edges
from sentinel.model.network import NetworkSize, _dense  # pyright: ignore[reportPrivateUsage]
from sentinel.training.data.rows import CPU
from sentinel.training.data.splits import split
from sentinel.training.device.memory import MemoryWatch
from sentinel.training.device.need import COPIES, FLOAT, Need
from sentinel.training.device.out_of_memory import out_of_memory_in_a_sentence
from sentinel.training.fit import fit
from sentinel.training.loop.step import Stepper
from tests.fresh_process import in_a_fresh_process
from tests.training.conftest import SETTINGS, TIMES

MB = 1_000_000


def changed(**settings: Any) -> Training:
    return SETTINGS.model_copy(update=settings)


@pytest.fixture(scope="module")
def splits(home: Path, table: FeatureTable) -> Splits:
    return split(table, TIMES, home=home, out=home / "memory-splits")


@pytest.mark.parametrize(("width", "layers"), [(8, 1), (24, 3)])
def test_the_weights_are_counted_without_making_them(width: int, layers: int) -> None:
    size = NetworkSize(width, layers, 0.1)
    assert size.parameters(17) == sum(weight.numel() for weight in _dense(17, size).parameters())


def test_network_that_cannot_fit_is_refused_before_it_is_made() -> None:
    settings = changed(memory_limit="1GB", layers=3000, width=384, trees=0)
    need, memory = Need(settings, 200), MemoryWatch(settings, CPU)
    assert need.network > COPIES * FLOAT * 2999 * 384 * 384
    with pytest.raises(
        TrainingFailed,
        match=r"take 8,\d\d\d MB of memory at least, and [\d,]+ MB are left to it \(training.memory_limit = 1GB\).*"
        r"443,\d+,\d+ weights \(training.width = 384, training.layers = 3000, 200 inputs with training.bins = 8\)",
    ):
        need.require(memory, processes=1)
    need = Need(changed(memory_limit="4GB", layers=300, width=384), 200)
    watch = MemoryWatch(changed(memory_limit="2GB"), CPU)
    need.require(watch, processes=1)
    with pytest.raises(TrainingFailed, match="at least"):
        need.require(watch, processes=3)


def test_forest_that_cannot_judge_is_refused_before_it_is_grown() -> None:
    settings = changed(memory_limit="4GB", trees=2000, tree_depth=8)
    with pytest.raises(TrainingFailed, match=r"training.trees = 2000, training.tree_depth = 8"):
        Need(settings, 200).require(MemoryWatch(settings, CPU), processes=1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"width": 200_000}, r"at least.*training.width = 200000"),
        ({"layers": 3000, "width": 384, "memory_limit": "1GB"}, r"at least.*training.layers = 3000"),
    ],
)
def test_model_larger_than_memory_is_told_by_its_settings(
    home: Path, table: FeatureTable, splits: Splits, tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(TrainingFailed, match=told):
        fit(table, splits, changed(**settings), run_id="r", home=home, out=tmp_path / "model")
    assert resource.getrlimit(resource.RLIMIT_DATA) == limit


def test_more_bins_than_rows_take_no_memory() -> None:
    values = torch.rand(2000, generator=torch.Generator().manual_seed(1)).double()
    labels, weights = values > 0.7, torch.ones(2000)
    edges = [feature_edges(values, labels, weights, bins) for bins in (1_000_000_000, 2000)]
    assert torch.equal(*edges) and len(edges[0]) > 2


def _of_xgboost() -> None:
    table = torch.rand(100_000, 60).numpy()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    watch = MemoryWatch(changed(memory_limit="15MB"), CPU)
    with pytest.raises(TrainingFailed, match=r"does not fit into memory .*training.width.*training.trees"):  # noqa: SIM117
        with out_of_memory_in_a_sentence(), watch.refusing():
            xgboost.QuantileDMatrix(table, label=table[:, 0] > 0.5, max_bin=2048)
    assert resource.getrlimit(resource.RLIMIT_DATA) == (soft, hard)


def test_forest_that_runs_out_of_memory_is_told_as_a_network_is() -> None:
    in_a_fresh_process(_of_xgboost)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError("could not allocate 64000000000 bytes"), "could not allocate 64000000000 bytes"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                "to allocate 160000000000 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "160,000 MB more were refused",
        ),
        (MemoryError(), "MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"), "CUDA out of memory. Tried"),
    ],
)
def test_whatever_the_library_says_the_keys_are_named(error: Exception, told: str) -> None:
    with (
        pytest.raises(TrainingFailed, match=rf"\({re.escape(told)}\)\. Make the model smaller \(training.width"),
        out_of_memory_in_a_sentence(),
    ):
        raise error


def test_the_cause_of_an_error_counts_and_others_stay_what_they_are() -> None:
    with pytest.raises(TrainingFailed), out_of_memory_in_a_sentence():
        raise DataDamaged("The model cannot be loaded.") from MemoryError("no")
    with pytest.raises(ValueError, match="else"), out_of_memory_in_a_sentence():
        raise ValueError("something else")


def test_steps_that_run_out_of_memory_are_taken_in_smaller_ones(
    home: Path, table: FeatureTable, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception injected through the whole of `fit`."""
    accumulate, refused = Stepper._accumulate, list[tuple[int, int]]()  # pyright: ignore[reportPrivateUsage]

    def scarce(self: Stepper, number: int, batch: Any) -> torch.Tensor:
        total = accumulate(self, number, batch)
        if number == 7 and self.micro_batch > 16:
            refused.append((number, self.micro_batch))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return total

    monkeypatch.setattr(Stepper, "_accumulate", scarce)
    fit(table, splits, SETTINGS, run_id="r", home=home, out=home / "scarce")
    record = json.loads((home / "scarce" / "training.json").read_text())
    assert refused == [(7, 63), (7, 31)] and record["micro_batch"] == 15 and record["batch_size"] == 63
    assert record["reproducibility"]["verdict"] == "bit-exact"
