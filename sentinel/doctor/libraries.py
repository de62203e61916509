"""What is installed: against its lock, and whether driver, CUDA, torch and ONNX Runtime fit each other.

Nothing heavy is imported: versions are read from the installed files, and a GPU is tried in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from sentinel.config import Features
from sentinel.doctor.finding import Finding
from sentinel.gpu import REINSTALL, Card, card_fault, driver_fault
from sentinel.spark_installed import java_version, missing_for_spark

MEND = "Run `make setup`, which installs the lock again."
SPARK_LOCK = "spark.lock"  # what `make spark` installs on top of the others
NOT_LOCKED = {"sentinel", "pip", "setuptools", "wheel"}  # the project itself, and what makes a virtual environment
# A graph is really run: a build with CUDA falls back to the CPU in silence when a library of CUDA's is missing.
_TRY_GPU = """
import json, onnx, onnxruntime, torch
from onnx import TensorProto, helper
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "try", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CUDAExecutionProvider"])
seen = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
cards = [(torch.cuda.get_device_name(at), torch.cuda.get_device_capability(at)) for at in seen]
print(json.dumps({"cards": cards, "built_for": torch.cuda.get_arch_list(), "providers": session.get_providers()}))
"""


@dataclass(frozen=True)
class Gpu:
    name: str
    driver: str
    cuda: str  # the newest the driver can run, such as "12.8"


def installed_versions() -> dict[str, str]:
    """Version of every installed distribution, by normalised name."""
    return {_normal(found.name): found.version for found in distributions()}


def locked_versions(lock: Path) -> dict[str, str]:
    pins = re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {_normal(name): version for name, version in pins}


def choose_lock(requirements: Path, installed: Mapping[str, str]) -> Path:
    return requirements / ("gpu.lock" if "onnxruntime-gpu" in installed else "cpu.lock")


def check_lock(lock: Path, installed: Mapping[str, str]) -> Finding:
    """Name every package whose installed version is not the locked one."""
    name = f"requirements/{lock.name}"
    if not lock.is_file():
        return Finding("locked packages", "problem", f"{name} is missing", "Restore it from git, or run `make lock`.")
    locked = locked_versions(lock)
    if "pyspark" in installed and (on_top := lock.with_name(SPARK_LOCK)).is_file():
        name, locked = f"{name} with {SPARK_LOCK}", locked | locked_versions(on_top)
    wrong = [
        f"{package} {installed.get(package, 'is missing')} (locked: {version})"
        for package, version in sorted(locked.items())
        if installed.get(package) != version
    ]
    if wrong:
        return Finding("locked packages", "problem", f"{len(wrong)} differ from {name}: {', '.join(wrong)}", MEND)
    strange = sorted(set(installed) - set(locked) - NOT_LOCKED)
    if strange:
        return Finding("locked packages", "warning", f"not in {name}: {', '.join(strange)}", MEND)
    return Finding("locked packages", "ok", f"{len(locked)} packages as in {name}")


def check_runtimes(installed: Mapping[str, str]) -> Finding:
    if {"onnxruntime", "onnxruntime-gpu"} <= set(installed):
        found = "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files"
        return Finding("onnx runtime", "problem", found, REINSTALL)
    package = "onnxruntime-gpu" if "onnxruntime-gpu" in installed else "onnxruntime"
    if package not in installed:
        return Finding("onnx runtime", "problem", "ONNX Runtime is not installed", MEND)
    return Finding("onnx runtime", "ok", f"{package} {installed[package]}")


def check_engine(features: Features, installed: Mapping[str, str]) -> Finding:
    """Whether what builds the features can run."""
    if features.engine != "spark":
        return Finding("feature engine", "ok", features.engine)
    if lacking := missing_for_spark():
        problem, _, mend = lacking.partition(": ")
        return Finding("feature engine", "problem", f"spark, but {problem}", f"{mend[:1].upper()}{mend[1:]}.")
    found = f"spark: pyspark {installed.get('pyspark', '?')}, Java {java_version()}, master {features.spark.master}"
    return Finding("feature engine", "ok", found)


def find_gpu(command: str = "nvidia-smi") -> Gpu | None:
    """The first GPU the NVIDIA driver reports; None when there is no driver or it does not answer."""
    try:
        answer = subprocess.run([command, "-q"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    values = dict(re.findall(r"^\s*(Product Name|Driver Version|CUDA Version)\s*:\s*(.+?)\s*$", answer, re.MULTILINE))
    if "Product Name" not in values:
        return None
    return Gpu(values["Product Name"], values.get("Driver Version", "?"), values.get("CUDA Version", "?"))


@dataclass(frozen=True)
class Builds:
    """The CUDA versions the installed libraries are built for; None: for the CPU, or not installed."""

    torch: str | None
    onnxruntime: str | None


def installed_builds() -> Builds:
    """Read from the version files, without importing the libraries."""
    return Builds(_cuda_of("torch", "version.py"), _cuda_of("onnxruntime", "capi/build_and_package_info.py"))


def _cuda_of(package: str, file: str) -> str | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None or not (path := Path(spec.origin).parent / file).is_file():
        return None
    match = re.search(r"^cuda(_version)?\b[^=]*=\s*['\"]([\d.]+)['\"]", path.read_text(encoding="utf-8"), re.MULTILINE)
    return match[2] if match else None


def check_gpu(gpu: Gpu | None, builds: Builds) -> Finding:
    """Whether driver, torch and ONNX Runtime agree on where the work runs."""
    built = f"torch is built for {_build(builds.torch)}, ONNX Runtime for {_build(builds.onnxruntime)}"
    if _major(builds.torch) != _major(builds.onnxruntime):
        return Finding("gpu", "problem", f"{built}: they cannot share one set of libraries", REINSTALL)
    if gpu is None and builds.torch is None:
        return Finding("gpu", "ok", "no NVIDIA GPU answers; everything runs on the CPU")
    if gpu is None:
        found = f"{built}, and no NVIDIA GPU answers to nvidia-smi: the CPU does the work"
        return Finding("gpu", "warning", found, f"Install the NVIDIA driver. On a machine without a GPU: {REINSTALL}")
    card = f"{gpu.name}, driver {gpu.driver} for CUDA up to {gpu.cuda}"
    if builds.torch is None:
        return Finding("gpu", "warning", f"{card}, but {built}: the GPU stays idle", REINSTALL)
    if fault := driver_fault(gpu.driver, gpu.cuda, builds.torch):
        return Finding("gpu", "problem", f"{gpu.name}: {fault.found}", fault.mend)
    return _try_gpu(card, gpu.cuda, builds.torch)


def _build(cuda: str | None) -> str:
    return f"CUDA {cuda}" if cuda else "the CPU"


def _try_gpu(card: str, driver_cuda: str, torch_cuda: str) -> Finding:
    done = subprocess.run([sys.executable, "-c", _TRY_GPU], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding("gpu", "problem", f"{card}, but torch or ONNX Runtime does not load: {reason}", MEND)
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if not answer["cards"]:
        mend = "Look at `nvidia-smi` and CUDA_VISIBLE_DEVICES, then restart the machine or mend the driver."
        return Finding("gpu", "problem", f"{card}, but torch (CUDA {torch_cuda}) cannot use it", mend)
    for name, capability in answer["cards"]:
        fault = card_fault(Card(name, (capability[0], capability[1])), answer["built_for"], driver_cuda, torch_cuda)
        if fault:
            return Finding("gpu", "problem", fault.found, fault.mend)
    if "CUDAExecutionProvider" not in answer["providers"]:
        return Finding("gpu", "problem", f"{card}; torch uses it, but ONNX Runtime has no CUDA provider", MEND)
    return Finding("gpu", "ok", f"{card}; torch (CUDA {torch_cuda}) and ONNX Runtime use it")


def _major(version: str | None) -> int:
    digits = re.match(r"\d+", version or "")
    return int(digits[0]) if digits else 0


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
