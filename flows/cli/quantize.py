"""`sentinel models quantize`: the variants of the model on this machine, side by side."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session
from flows.cli.gates import figure
from flows.cli.run import connect_prefect
from flows.interruption import ended_in_a_sentence

# (heading, key in measurements.json)
_COLUMNS = (
    ("p50 ms", "latency_p50_ms"), ("p99 ms", "latency_p99_ms"), ("rows/s at 256", "throughput_256_rows_per_s"),
    ("rows/s at 4096", "throughput_4096_rows_per_s"), ("MB", "bytes"), ("pr_auc", "pr_auc"),
    ("recall", "recall_at_budget"), ("KL", "kl_divergence"), ("shift", "largest_shift"), ("flips", "flips"),
    ("in integers", "integer_matrix_products"),
)  # fmt: skip


class Grid(StrEnum):
    run = "run"
    full = "full"


def quantize(
    grid: Annotated[Grid, typer.Option(help="Those of every run, or all that this machine can try.")] = Grid.run,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure variants of the model: fp32 and INT8; with --grid full also calibration methods, layers left out, fp16
    and every provider. Nothing is registered; what a run has made is not made again.
    """
    session = open_session(config, as_json)
    with ended_in_a_sentence("Nothing was decided: the same call measures anew."):
        document = _quantize(session, grid)
    if as_json:
        session.answer(document)
    else:
        _show(document)


def _quantize(session: Session, grid: Grid) -> dict[str, Any]:
    connect_prefect(session)
    # imported late: Prefect reads its environment when it is imported
    from flows.cli.stages import shown_stages
    from flows.quantize import quantize as quantize_flow

    with shown_stages():
        file = os.path.relpath(session.config.file.resolve(), session.paths.root)
        return cast("dict[str, Any]", quantize_flow(grid.value, file))


def _show(document: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("variant", no_wrap=True)
    for heading, _ in _COLUMNS:
        table.add_column(heading, justify="right")
    table.add_column("passes")
    for name, found in document["variants"].items():
        style = "bold green" if name == document["chosen"] else None
        cells = [_cell(key, found.get(key)) for _, key in _COLUMNS]
        table.add_row(name, *cells, "no" if document["refusals"][name] else "yes", style=style)
    answers.print()
    answers.print(table)
    answers.print(escape(document["reason"]), soft_wrap=True)
    answers.print(f"[dim]picture    [/]xdg-open {os.path.relpath(Path(document['folder']) / 'pareto.png')}")


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key == "bytes":
        return f"{value / 1e6:.2f}"
    return f"{value:,.0f}" if key.startswith("throughput") or isinstance(value, int) else figure(value)
