from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.config import Features
from sentinel.doctor.libraries import (
    Builds,
    Gpu,
    check_engine,
    check_gpu,
    check_lock,
    check_runtimes,
    choose_lock,
    find_gpu,
    installed_builds,
    installed_versions,
    locked_versions,
)

ROOT = Path(__file__).parents[2]
CPU = Builds(None, None)
GPU_BUILDS = Builds("13.0", "13.0")


def lock_of(folder: Path, *pins: str) -> Path:
    lock = folder / "cpu.lock"
    lock.write_text("".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n    # via something==9\n" for pin in pins))
    return lock


def test_what_is_installed_here_is_what_is_locked() -> None:
    installed = installed_versions()
    finding = check_lock(choose_lock(ROOT / "requirements", installed), installed)
    assert finding.status == "ok", finding.found


def test_every_difference_to_the_lock_is_named(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, "numpy==2.4.6", "Typing_Extensions==4.0", "torch==2.13.0+cpu", "left.pad==1.0")
    installed = {"numpy": "2.4.6", "typing-extensions": "3.9", "torch": "2.13.0"}
    finding = check_lock(lock, installed)
    assert finding.status == "problem"
    assert finding.found == (
        "3 differ from requirements/cpu.lock: left-pad is missing (locked: 1.0), "
        "torch 2.13.0 (locked: 2.13.0+cpu), typing-extensions 3.9 (locked: 4.0)"
    )
    assert "make setup" in finding.mend


def test_a_package_installed_beside_the_lock_is_a_warning(tmp_path: Path) -> None:
    finding = check_lock(
        lock_of(tmp_path, "numpy==2.4.6"), {"numpy": "2.4.6", "left-pad": "1.0", "pip": "26", "sentinel": "0"}
    )
    assert (finding.status, finding.found) == ("warning", "not in requirements/cpu.lock: left-pad")


def test_spark_has_a_lock_of_its_own_on_top(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, "numpy==2.4.6")
    lock_of(tmp_path, "pyspark==4.0.5").rename(tmp_path / "spark.lock")
    lock_of(tmp_path, "numpy==2.4.6")
    assert check_lock(lock, {"numpy": "2.4.6"}).status == "ok"
    assert check_lock(lock, {"numpy": "2.4.6", "pyspark": "4.0.5"}).status == "ok"
    finding = check_lock(lock, {"numpy": "2.4.6", "pyspark": "4.1.0"})
    assert (finding.status, "pyspark 4.1.0 (locked: 4.0.5)" in finding.found) == ("problem", True)


def test_an_engine_without_its_java_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_engine(Features(), {}).status == "ok"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    finding = check_engine(Features(engine="spark"), {})
    assert finding.status == "problem"
    assert "make spark" in finding.mend or "JAVA_HOME" in finding.mend


def test_a_lost_lock_is_a_problem(tmp_path: Path) -> None:
    assert check_lock(tmp_path / "cpu.lock", {}).status == "problem"


def test_pins_are_read_by_their_normal_names(tmp_path: Path) -> None:
    assert locked_versions(lock_of(tmp_path, "Left.Pad==1.0")) == {"left-pad": "1.0"}


def test_both_runtimes_at_once_are_a_problem() -> None:
    assert check_runtimes({"onnxruntime": "1", "onnxruntime-gpu": "1"}).status == "problem"
    assert check_runtimes({"numpy": "1"}).status == "problem"
    assert check_runtimes({"onnxruntime": "1.31.1"}).found == "onnxruntime 1.31.1"


def test_the_lock_of_a_gpu_machine_is_the_gpu_lock() -> None:
    assert choose_lock(ROOT, {"onnxruntime-gpu": "1"}).name == "gpu.lock"


def nvidia_smi(folder: Path, output: str, code: int = 0) -> str:
    """A stand-in for the driver's own command, with what it prints."""
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {code}\n")
    command.chmod(0o755)
    return str(command)


def test_the_driver_names_the_gpu(tmp_path: Path) -> None:
    printed = """
Driver Version                            : 580.65.06
CUDA Version                              : 13.0
GPU 00000000:17:00.0
    Product Name                          : NVIDIA H200
"""
    assert find_gpu(nvidia_smi(tmp_path, printed)) == Gpu("NVIDIA H200", "580.65.06", "13.0")


def test_a_driver_that_fails_or_is_not_there_is_no_gpu(tmp_path: Path) -> None:
    assert find_gpu(nvidia_smi(tmp_path, "NVIDIA-SMI has failed", 9)) is None
    assert find_gpu(str(tmp_path / "no-such-command")) is None


H200 = Gpu("NVIDIA H200", "580.65.06", "13.0")


@pytest.mark.parametrize(
    ("gpu", "builds", "status", "words"),
    [
        (None, CPU, "ok", "everything runs on the CPU"),
        (None, GPU_BUILDS, "warning", "no NVIDIA GPU answers"),
        (H200, CPU, "warning", "the GPU stays idle"),
        (Gpu("Old", "535.1", "12.2"), GPU_BUILDS, "problem", "CUDA up to 12.2, but torch is built for CUDA 13.0"),
        (H200, Builds("13.0", "12.8"), "problem", "cannot share one set of libraries"),
        (None, Builds("13.0", None), "problem", "ONNX Runtime for the CPU"),
    ],
)
def test_driver_torch_and_onnx_runtime_must_agree(gpu: Gpu | None, builds: Builds, status: str, words: str) -> None:
    finding = check_gpu(gpu, builds)
    assert (finding.status, words in finding.found) == (status, True), finding.found
    assert (finding.mend == "") == (status == "ok")


def test_the_builds_are_read_as_the_libraries_themselves_tell_them() -> None:
    import torch

    assert installed_builds().torch == torch.version.cuda


def test_a_gpu_that_the_libraries_cannot_use_is_a_problem() -> None:
    import torch

    if torch.cuda.is_available():
        assert check_gpu(find_gpu(), installed_builds()).status == "ok"
    else:
        assert check_gpu(H200, GPU_BUILDS).status == "problem"
