"""Many ways to make the graph smaller and faster, tried on one exported model: what `sentinel models quantize` does.

Nothing here goes to promotion: a run has its own four variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sentinel.errors import SentinelError
from sentinel.export.choice import Bounds, Choice, choose_variant
from sentinel.export.pareto import PICTURE, draw_pareto
from sentinel.export.prepared import prepare
from sentinel.export.quantization import Subject, measurement_record
from sentinel.export.recipes import EVERY_RUN, Calibration, Recipe
from sentinel.export.sensitivity import LayerEffect, by_sensitivity, measure_sensitivity
from sentinel.export.speed import ROUNDS
from sentinel.export.variants import make_variant, measure_variants
from sentinel.progress import Progress, part_of, silent
from sentinel.scoring import PROVIDER, Scorer, available_providers
from sentinel.storage import complete_folder, require_free_disk, write_json

RECORD = "grid.json"
_MANY_ROUNDS = ROUNDS // 2  # of a full grid
_OTHER_CALIBRATIONS: tuple[Calibration, ...] = ("Entropy", "Percentile")
_EVIDENCE_BYTES = 200_000_000


@dataclass(frozen=True)
class Grid:
    """`unusable`: what could not be made or does not run here, with the sentence that says why."""

    record: dict[str, Any]
    choice: Choice
    layers: Sequence[LayerEffect]
    unusable: dict[str, str]


def try_grid(
    subject: Subject, bounds: Bounds, *, is_full: bool, out: Path, scratch: Path, progress: Progress = silent
) -> Grid:
    """Measure the four variants of every run, or all that is known; write grid.json and pareto.png into `out`."""
    require_free_disk(scratch, 25 * subject.graph.stat().st_size + _EVIDENCE_BYTES)
    prepared = scratch / "prepared.onnx"
    progress(0, 100, "preparing the graph")
    prepare(subject.graph, prepared)
    layers = _layers(subject, prepared, scratch, part_of(progress, 2, 20)) if is_full else []
    recipes = [*EVERY_RUN, *(_further(prepared, layers) if is_full else ())]
    usable, unusable = _made(recipes, subject, prepared, scratch, part_of(progress, 20, 40))
    rounds = _MANY_ROUNDS if is_full else ROUNDS
    variants = measure_variants(usable, subject.yardstick, scratch, rounds=rounds, progress=part_of(progress, 40, 100))
    choice = choose_variant(variants, bounds)
    record = measurement_record(variants, subject) | {
        "bounds": asdict(bounds),
        "chosen": choice.variant,
        "reason": choice.reason,
        "refused": dict(choice.refused),
        "unusable": unusable,
        "layers": [asdict(effect) for effect in layers],
    }
    with complete_folder(out) as folder:
        write_json(folder / RECORD, record)
        draw_pareto(variants, choice, bounds, folder / PICTURE)
    return Grid(record, choice, layers, unusable)


def _layers(subject: Subject, prepared: Path, scratch: Path, progress: Progress) -> list[LayerEffect]:
    return measure_sensitivity(subject.graph, prepared, subject.calibration, subject.yardstick, scratch, progress)


def _further(prepared: Path, layers: list[LayerEffect]) -> list[Recipe]:
    static = [recipe for recipe in EVERY_RUN if recipe.method == "static"]
    calibrated = [
        replace(recipe, name=f"{recipe.name}_{method.lower()}", calibration=method)
        for recipe in static
        for method in _OTHER_CALIBRATIONS
    ]
    fp16 = Recipe("fp16", "fp16")
    elsewhere = [
        replace(recipe, name=f"{recipe.name}_on_{provider.removesuffix('ExecutionProvider')}", provider=provider)
        for provider in available_providers()
        if provider != PROVIDER
        for recipe in (EVERY_RUN[0], static[-1], fp16)
    ]
    return [*calibrated, *by_sensitivity(prepared, layers), fp16, *elsewhere]


def _made(
    recipes: Sequence[Recipe], subject: Subject, prepared: Path, folder: Path, progress: Progress
) -> tuple[list[Recipe], dict[str, str]]:
    """The recipes whose graph runs on its provider, and why the others do not."""
    usable: list[Recipe] = []
    unusable: dict[str, str] = {}
    for done, recipe in enumerate(recipes):
        progress(done, len(recipes), f"making {recipe.name}")
        try:
            graph = make_variant(recipe, subject.graph, prepared, subject.calibration, folder)
            Scorer(graph, provider=recipe.provider)
        except SentinelError as error:
            unusable[recipe.name] = str(error)
        else:
            usable.append(recipe)
    return usable, unusable
