"""Rows trained a second: rows on the device, and in a file, beside a plain DataLoader loop of the same network.

    python -m benchmarks.row_source [--json FILE] [--model large] [--rows 100000] [--steps 50]

The peer is the loop that everyone writes: a TensorDataset, a DataLoader that shuffles (without and with worker
processes), AdamW. All train the same network on the same rows in batches of the same size, fp32 and eager unless the
name says otherwise; on a GPU AMP and torch.compile come too, and the share of the time in which the GPU computes. The
ratio is of the time, to the DataLoader without workers: 0.05 is twenty times its rows a second. `large` is a network
of 450 MB. Reading, compiling and the first steps are not in the time. On a
CPU a step has one thread: on a busy machine two wait for each other, which made the same run take 0.9 s or 14.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.feature_data import default_config, project_paths
from benchmarks.report import Measurement, Run, make_document, measure, publish

if TYPE_CHECKING:
    from sentinel.model.network import FraudNet
    from sentinel.training.data.rows import Rows
    from sentinel.training.device.hardware import Hardware
    from sentinel.training.loop.step import Stepper

PACKAGES = ("torch", "pyarrow")
STEPS = {"default": 50, "large": 3}
LARGE_WEIGHTS, LARGE_LAYERS = 450_000_000 // 4, 3
BINS_A_FEATURE = 4
ROUNDS = 5
BATCH, WARM_STEPS, PROFILED_STEPS = 1024, 3, 10
PLAIN = "DataLoader"
PEERS = (PLAIN, "DataLoader, workers")
OURS = ("resident", "stored")
ON_A_GPU = ("resident, AMP", "resident, compiled", "resident, AMP, compiled")
WORKERS = min(8, os.cpu_count() or 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--model", choices=tuple(STEPS), default="default")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--steps", type=int, help="that are timed")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    import torch

    contenders = (*PEERS, *OURS, *(ON_A_GPU if torch.cuda.is_available() else ()))
    task = {"model": options.model, "rows": options.rows, "steps": options.steps or STEPS[options.model]}
    measurements = _measure_in_rounds(contenders, task)
    publish(make_document("row_source", PACKAGES, measurements, lambda each: f"{each.case}/{PLAIN}"), options.json)


def _measure_in_rounds(contenders: Sequence[str], task: dict[str, Any]) -> list[Measurement]:
    """Each contender once a round: what else the machine does changes, and must not meet one of them alone."""
    runs: dict[str, list[Run]] = {contender: [] for contender in contenders}
    for _ in range(ROUNDS):
        for contender, found in runs.items():
            work = task | {"contender": contender}
            found += measure(__spec__.name, work, task["model"], contender, repeats=1, limit_mb=32_000).runs
    return [Measurement(task["model"], contender, tuple(found)) for contender, found in runs.items()]


def _work(model: str, rows: int, steps: int, contender: str) -> dict[str, Any]:
    import torch

    from sentinel.training.device.hardware import Hardware, choose_hardware, deterministic

    settings = default_config(project_paths(Path.cwd())).training
    precision = choose_hardware(settings).precision if "AMP" in contender else "fp32"
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    hardware = Hardware(torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"), precision)
    with deterministic(settings.seed), tempfile.TemporaryDirectory() as folder:
        data, net = _data_and_network(model, rows)
        stepper = _stepper(net.to(hardware.device).train(), data, hardware, "compiled" in contender, Path(folder))
        begin = _plain_loop if contender in PEERS else _our_loop
        taken = begin(stepper, data, contender, Path(folder))
        seconds = _timed(lambda: next(taken), steps, hardware)
        share = _computing_share(lambda: next(taken)) if hardware.is_cuda else None
    return {
        "seconds": seconds,
        "load_1min": round(os.getloadavg()[0], 2),
        "rows_a_second": round(steps * BATCH / seconds),
        "weights": sum(weight.numel() for weight in net.parameters()),
        "precision": precision,
        "gpu_computing_share": share,
    }


def _data_and_network(model: str, rows: int) -> tuple[Rows, FraudNet]:
    """Made up, with the shape of the default data set; what they say does not matter to their speed."""
    import torch

    from sentinel.features.spec import feature_set
    from sentinel.model.derived import DerivedFeatures
    from sentinel.model.encoding import Encoding, EncodingSize
    from sentinel.model.inputs import ModelInputs, Vocabulary
    from sentinel.model.network import FraudNet, NetworkSize
    from sentinel.training.data.rows import Rows

    config = default_config(project_paths(Path.cwd()))
    features = feature_set(config.columns, config.features).to_dict()
    words = tuple(f"value-{number:02}" for number in range(20))
    inputs = ModelInputs.from_feature_set(features, [Vocabulary(name, words) for name in features["categorical"]])
    width = len(DerivedFeatures(inputs, features).names)
    derived = torch.randn((rows, width))
    derived[torch.rand(derived.shape) < 0.05] = torch.nan
    codes = torch.randint(0, 20, (rows, len(inputs.categorical))) if inputs.categorical else None
    encoding = Encoding(EncodingSize(width * BINS_A_FEATURE, 2), inputs)
    encoding.feature.copy_(torch.arange(width).repeat_interleave(BINS_A_FEATURE))
    encoding.slope.fill_(1.0)
    settings = config.training
    size = NetworkSize(settings.width, settings.layers, settings.dropout)
    if model == "large":
        size = NetworkSize(_large_width(encoding.width), LARGE_LAYERS, settings.dropout)
    return Rows(derived, codes, (torch.rand(rows) < 0.01).float()), FraudNet(inputs, features, encoding, size)


def _large_width(encoded: int) -> int:
    """Of LARGE_LAYERS dense layers after `encoded` inputs, so that there are LARGE_WEIGHTS weights."""
    inner = LARGE_LAYERS - 1
    return int((math.sqrt(encoded**2 + 4 * inner * LARGE_WEIGHTS) - encoded) / (2 * inner))


def _stepper(net: FraudNet, data: Rows, hardware: Hardware, is_compiled: bool, folder: Path) -> Stepper:
    import torch

    from sentinel.training.device.compiled import choose_compile
    from sentinel.training.loop.step import Plan, Stepper

    plan = Plan(1, BATCH, 10**6, 10**6, 1e-3, 1e-2, 0.0)
    if not is_compiled:
        return Stepper(net, plan, hardware)
    batch = data.take(torch.arange(BATCH)).to(hardware.device)
    score, _ = choose_compile(net, batch, plan.steps, "on", hardware, folder / "compiled.json")
    return Stepper(net, plan, hardware, score=score)


def _our_loop(stepper: Stepper, data: Rows, contender: str, folder: Path) -> Iterator[None]:
    """A step each time that it is asked."""
    import torch

    from sentinel.training.data.rows import ResidentRows
    from sentinel.training.data.stored_rows import StoredRows, store_rows
    from sentinel.training.loop.step import Batch

    device = stepper.hardware.device
    if contender == "stored":
        store_rows(folder / "rows.arrow", data.slices(), len(data))
        rows = StoredRows(folder / "rows.arrow", device)
    else:
        rows = ResidentRows(data, device)
    numbers = itertools.count()
    while True:
        order = torch.randperm(len(data))
        for block in rows.blocks(order[: len(order) // BATCH * BATCH], BATCH):
            stepper.step(next(numbers), Batch(block, 0, len(block)))
            yield


def _plain_loop(stepper: Stepper, data: Rows, contender: str, folder: Path) -> Iterator[None]:
    import torch
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset

    device = stepper.hardware.device
    codes = torch.zeros((len(data), 0), dtype=torch.int64) if data.categorical is None else data.categorical
    loader = DataLoader(
        TensorDataset(data.derived, codes, data.labels),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=0 if contender == PLAIN else WORKERS,
        pin_memory=stepper.hardware.is_cuda,
    )
    optimizer = torch.optim.AdamW(stepper.net.parameters(), lr=1e-3)
    numbers = itertools.count()
    while True:
        for batch in loader:
            derived, categorical, labels = (each.to(device, non_blocking=True) for each in batch)
            stepper.keys.use(next(numbers), 0, len(labels))
            answer = stepper.score(derived, None if data.categorical is None else categorical)
            loss = functional.binary_cross_entropy_with_logits(answer, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def _timed(step: Callable[[], None], steps: int, hardware: Hardware) -> float:
    for _ in range(WARM_STEPS):
        step()
    _wait(hardware)
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(hardware)
    return time.perf_counter() - begun


def _computing_share(step: Callable[[], None]) -> float:
    """Of the time of some steps, by the kernels' own times; profiling slows the host, so that it is a lower bound."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        begun = time.perf_counter()
        for _ in range(PROFILED_STEPS):
            step()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
    return sum(each.self_device_time_total for each in recorded.key_averages()) / 1e6 / seconds


def _wait(hardware: Hardware) -> None:
    import torch

    if hardware.is_cuda:
        torch.cuda.synchronize(hardware.device)


if __name__ == "__main__":
    main()
