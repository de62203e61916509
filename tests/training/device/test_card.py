from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sentinel.errors import TrainingFailed
from sentinel.gpu import Card
from sentinel.training.device.card import Facts, find_fault, read_card, require_card, try_card

H200 = Facts(
    torch="2.13.0",
    torch_cuda="13.0",
    driver="580.65.06",
    driver_cuda="13.0",
    cards_present=1,
    cards=(Card("NVIDIA H200", (9, 0)),),
    architectures=("sm_75", "sm_80", "sm_90", "sm_120", "compute_120"),
)


def sentence(facts: Facts, index: int = 0) -> str:
    fault = find_fault(facts, index)
    return f"{fault.found}. {fault.mend}" if fault else ""


def test_a_machine_whose_parts_fit_is_no_fault() -> None:
    assert find_fault(H200) is None
    assert find_fault(replace(H200, visible="0")) is None
    assert find_fault(replace(H200, driver_cuda="14.1")) is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Facts("2.13.0+cpu"), ("built for the CPU", "make run")),
        (replace(H200, driver_cuda="12.8", driver="570.1"), ("570.1", "CUDA up to 12.8", "CUDA 13.0 or later")),
        (replace(H200, cards=(), visible=""), ("CUDA_VISIBLE_DEVICES='' hides", "Unset it")),
        (replace(H200, cards=(), visible="-1"), ("hides every card",)),
        (replace(H200, cards=(), visible="7"), ("has 1 cards and torch sees 0", "CUDA_VISIBLE_DEVICES='7'")),
        (replace(H200, cards=(), error="unknown error"), ("torch sees 0", "unknown error", "nvidia-smi")),
        (
            replace(H200, cards=(), driver=None, driver_cuda=None, error="Driver/library version mismatch"),
            ("does not answer (Driver/library version mismatch)", "restart"),
        ),
        (replace(H200, cards=(Card("GTX 1080", (6, 1)),)), ("GTX 1080", "6.1", "no kernels", "an older build")),
        (replace(H200, error="CUDA error: out of memory"), ("small computation: CUDA error: out of memory",)),
    ],
)
def test_what_does_not_fit_is_named_with_its_mend(facts: Facts, words: tuple[str, ...]) -> None:
    told = sentence(facts)
    assert all(word in told for word in words), told


def test_every_card_that_will_train_must_be_there() -> None:
    assert "no GPU 1" in sentence(H200, index=1)
    assert find_fault(replace(H200, cards=H200.cards * 2, cards_present=2), index=1) is None


def test_a_silent_driver_is_no_fault_where_torch_sees_the_card() -> None:
    assert find_fault(replace(H200, driver=None, driver_cuda=None)) is None


def test_a_small_computation_proves_a_device() -> None:
    assert try_card(torch.device("cpu")) is None
    told = try_card(torch.device("meta"))
    assert told is not None and "\n" not in told


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_trains_on_its_cpu_unless_a_gpu_is_asked_for() -> None:
    require_card("auto")
    require_card("cpu")
    with pytest.raises(TrainingFailed, match=r"no GPU for training.*device = \"cpu\"\.$"):
        require_card("cuda")


def test_the_facts_of_this_machine_can_be_read() -> None:
    facts = read_card()
    assert facts.torch == torch.__version__ and facts.torch_cuda == torch.version.cuda
