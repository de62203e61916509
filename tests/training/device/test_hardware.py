from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sentinel.training.device import hardware
from sentinel.training.device.hardware import Hardware, choose_hardware, deterministic
from tests.training.conftest import SETTINGS


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((6, 1), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")],
)
def test_a_card_gets_the_precision_its_tensor_cores_have(capability: tuple[int, int], precision: str) -> None:
    chosen, reason = hardware._card_precision("auto", capability)  # pyright: ignore[reportPrivateUsage]
    assert chosen == precision and reason
    assert Hardware(torch.device("cuda", 0), chosen).scales_gradients == (precision == "fp16")


def test_a_cpu_that_multiplies_bf16_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "_CPU_INFO", info)
    auto = SETTINGS.model_copy(update={"precision": "auto"})
    for line, precision in (
        ("flags\t\t: fpu sse avx512f avx512_bf16", "bf16"),
        ("flags\t\t: fpu sse avx512f", "fp32"),
        ("Features\t: fp asimd bf16", "bf16"),
        ("model name\t: The bf16 CPU", "fp32"),
    ):
        info.write_text(line + "\n")
        assert choose_hardware(auto).precision == precision


def test_the_config_overrides_the_choice() -> None:
    for precision in ("fp32", "bf16"):
        chosen = choose_hardware(SETTINGS.model_copy(update={"precision": precision}))
        assert (chosen.precision, chosen.reason) == (precision, "the config asks for it")


def test_a_record_says_where_and_how_precisely_it_trained_and_why() -> None:
    told = choose_hardware(SETTINGS.model_copy(update={"precision": "auto"})).describe()
    assert told["device"] == "cpu" and told["precision"] in ("fp32", "bf16") and "CPU" in told["precision_reason"]
    assert told["torch"] == torch.__version__ and told["threads"] == torch.get_num_threads()
    assert told["name"] and told["driver"] is None


def test_determinism_is_enforced_only_where_it_is_asked_for() -> None:
    draws: list[torch.Tensor] = []
    for is_enforced in (True, False):
        with deterministic(4, is_enforced):
            assert torch.are_deterministic_algorithms_enabled() == is_enforced
            assert torch.backends.cudnn.benchmark == (not is_enforced)
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert not torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
