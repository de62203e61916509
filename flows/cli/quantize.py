"""`sentinel models quantize`: variants of the newest model, tried beyond the four of every run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session
from flows.cli.live import one_bar
from flows.interruption import ended_in_a_sentence
from sentinel.errors import RecordInvalid

if TYPE_CHECKING:
    from sentinel.export.grid import Grid
    from sentinel.export.quantization import Subject


class GridName(StrEnum):
    RUN = "run"
    FULL = "full"


GridOption = Annotated[
    GridName,
    typer.Option(
        "--grid", help="run: the four variants of every run; full: calibrations, layers left out, fp16, providers too."
    ),
]


def quantize(grid: GridOption = GridName.RUN, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Measure variants of the newest run's model on this machine, and say which would win.

    Nothing that serves changes: a run measures and chooses among its own four.
    """
    session = open_session(config, as_json)
    with ended_in_a_sentence("Nothing was kept: the same call tries all of it again."):
        tried, out = _try(session, grid)
    if as_json:
        session.answer({**tried.record, "folder": str(out)})
    else:
        _show(tried, out)


def _try(session: Session, grid: GridName) -> tuple[Grid, Path]:
    from sentinel.export.choice import bounds_of
    from sentinel.export.grid import try_grid

    home, name = session.paths.home, session.config.name
    out = home / "quantization" / name
    subject = _subject(session)
    with one_bar("quantize") as progress, TemporaryDirectory(dir=home, prefix="quantization-") as scratch:
        bounds = bounds_of(session.config.gates)
        is_full = grid is GridName.FULL
        return try_grid(subject, bounds, is_full=is_full, out=out, scratch=Path(scratch), progress=progress), out


def _subject(session: Session) -> Subject:
    """The model of the newest run that came so far. Raises RecordInvalid when there is none."""
    from sentinel.export.made_from import newest_made_from
    from sentinel.export.quantization import read_subject

    paths, config = session.paths, session.config
    made_from = newest_made_from(paths.stage(config.name, "quantize", "any").parent, paths.home)
    if made_from is None:
        raise RecordInvalid(
            f"No run of {config.name} has exported a model yet, so there is nothing to quantize. Run `sentinel run "
            f"--config {os.path.relpath(config.file.resolve())}` first."
        )
    return read_subject(
        made_from.onnx, made_from.trained, made_from.table, made_from.splits, config.export, home=paths.home
    )


def _show(tried: Grid, out: Path) -> None:
    for table in (_costs(tried), _qualities(tried), _layers(tried) if tried.layers else None):
        if table is not None:
            answers.print(table)
            answers.print()
    for name, sentence in tried.unusable.items():
        answers.print(f"[yellow]not usable[/] {name}: {escape(sentence)}", soft_wrap=True)
    for name, refusal in tried.choice.refused.items():
        answers.print(f"[yellow]refused[/]    {name} {escape(refusal)}.", soft_wrap=True)
    answers.print(f"[bold]would win[/]  {tried.choice.variant}")
    answers.print(f"[dim]picture    [/]xdg-open {escape(os.path.relpath(out / 'pareto.png'))}", soft_wrap=True)


# Two tables, since a terminal of 80 columns holds no one of all figures; the number joins them.
_COSTS = (
    ("MB", "megabytes", ".2f"), ("int", "integer_matrix_products", "d"), ("p50 ms", "latency_p50_ms", ".3f"),
    ("p99 ms", "latency_p99_ms", ".3f"), ("256/s", "throughput_256_rows_per_s", ",.0f"),
)  # fmt: skip
_QUALITIES = (
    ("pr_auc", "pr_auc", ".4f"), ("recall", "recall_at_alert_budget", ".4f"), ("flips", "flips", ",d"),
    ("minor units", "flipped_amount_minor", ",d"), ("KL", "kl_divergence", ".1e"), ("shift", "largest_shift", ".4f"),
    ("distinct", "distinct_scores", ",d"),
    ("4096/s", "throughput_4096_rows_per_s", ",.0f"),
)  # fmt: skip


def _costs(tried: Grid) -> Table:
    table = _table(("", "variant", *(heading for heading, _, _ in _COSTS), ""))
    for number, (name, figures) in enumerate(_variants(tried), start=1):
        verdict = "no" if name in tried.choice.refused else "wins" if name == tried.choice.variant else ""
        table.add_row(str(number), name, *(_figure(figures, key, form) for _, key, form in _COSTS), verdict)
    return table


def _qualities(tried: Grid) -> Table:
    table = _table(("", *(heading for heading, _, _ in _QUALITIES)))
    for number, (_, figures) in enumerate(_variants(tried), start=1):
        table.add_row(str(number), *(_figure(figures, key, form) for _, key, form in _QUALITIES))
    return table


def _layers(tried: Grid) -> Table:
    table = _table(("", "layer quantized alone", "flips", "KL", "shift"))
    for effect in tried.layers:
        shift = f"{effect.largest_shift:.4f}"
        table.add_row("", escape(effect.layer), f"{effect.flips:,}", f"{effect.kl_divergence:.1e}", shift)
    return table


def _variants(tried: Grid) -> Iterable[tuple[str, dict[str, Any]]]:
    variants: dict[str, dict[str, Any]] = tried.record["variants"]
    return variants.items()


def _figure(figures: dict[str, Any], key: str, form: str) -> str:
    value = figures["bytes"] / 1e6 if key == "megabytes" else figures.get(key)
    return "-" if value is None else format(value, form)


def _table(headings: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        is_name = heading in ("variant", "layer quantized alone")
        table.add_column(heading, justify="left" if is_name else "right", no_wrap=True)
    return table
