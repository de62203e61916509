"""The variants of this configuration's model: those of every run, or a full grid. What a run made is not made again."""

from __future__ import annotations

import json
import logging
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

import tasks
from flows.exclusive import one_run_at_a_time
from flows.logs import logged_run
from flows.train_to_deploy import ConfigParameter, open_run
from sentinel.artifacts import Variants
from sentinel.export.choice import MEASUREMENTS, bounds_of, choose_variant, refusal
from tasks.run import Run

logger = logging.getLogger("sentinel.quantize")

Grid = Literal["run", "full"]


# Prefect keeps the error of a run that fails, and would pickle it
@flow(name="quantize", flow_run_name="{config}", validate_parameters=True, result_serializer="json")
def quantize(grid: Grid = "run", config: ConfigParameter = "configs/default.toml") -> State[Any]:
    """Measure variants of the model on this machine.

    Args:
        grid: "run" for the variants of every run, "full" for calibration methods, layers left out, fp16 and providers.
        config: TOML file of the data set, from the project's folder.
    """
    run = open_run(config, None)
    lock = run.paths.lock(run.config.name)
    with (
        logged_run(run.id, run.paths.logs),
        one_run_at_a_time(lock, run.id, "sentinel models quantize", logger.warning),
    ):
        document = describe(run, measure(run, grid))
    return Completed(message=document["reason"], name="Measured", data=document)


def measure(run: Run, grid: Grid) -> Variants:
    """The way from the data to the measured variants."""
    raw = tasks.pull(run)
    validated = tasks.validate(run, raw)
    table = tasks.features(run, validated)
    splits = tasks.split(run, table)
    trained = tasks.train(run, raw, table, splits)
    onnx = tasks.export(run, trained, table, splits)
    if grid == "full":
        return tasks.quantize_grid(run, onnx, trained, table, splits)
    return tasks.quantize(run, onnx, trained, table, splits)


def describe(run: Run, variants: Variants) -> dict[str, Any]:
    """The measurements, which one would serve by today's bounds, and why each other one would not."""
    folder = variants.locate(run.paths.home)
    record = json.loads((folder / MEASUREMENTS).read_text())
    bounds = bounds_of(run.config.gates)
    choice = choose_variant(record["variants"], bounds)
    refusals = {name: refusal(name, record["variants"], bounds) for name in record["variants"]}
    return {**record, "chosen": choice.variant, "reason": choice.reason, "refusals": refusals, "folder": str(folder)}
