"""`sentinel evaluate`: a published protocol, run on its own data, beside the published figures."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session
from flows.cli.live import one_bar
from sentinel.paths import find_paths

FIGURES = ("roc_auc", "pr_auc", "card_precision_at_100")


class KnownProtocol(StrEnum):
    handbook = "handbook"


class FoldsOf(StrEnum):
    test = "test"
    validation = "validation"


DataOption = Annotated[Path, typer.Option("--data", help="The protocol's transactions: one CSV or Parquet file.")]


def evaluate(
    data: DataOption,
    protocol: Annotated[KnownProtocol, typer.Option(help="Which published protocol.")] = KnownProtocol.handbook,
    folds: Annotated[
        FoldsOf, typer.Option(help="The validation folds are for choices: no row of the test folds is scored then.")
    ] = FoldsOf.test,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the served kind of network on published folds, beside the published table, XGBoost and CatBoost.

    Without --config the protocol's own configuration is used. Nothing is versioned or registered; the features are
    kept, so that a second call begins at once.
    """
    session = open_protocol(protocol, config, as_json)
    document = _evaluate(session, data, folds)
    if as_json:
        session.answer(document)
    else:
        _show(document)


def open_protocol(protocol: KnownProtocol, config: Path | None, as_json: bool) -> Session:
    """The protocol's own configuration, where none is named."""
    own = find_paths(Path.cwd(), os.environ).configs / f"{protocol}.toml"
    return open_session(config or own, as_json)


def _evaluate(session: Session, data: Path, folds: FoldsOf) -> dict[str, Any]:
    from flows.table_aside import table_aside
    from sentinel.training.handbook.evaluation import evaluate as run_protocol

    table = table_aside(session.config, data, session.paths, one_bar)
    home, settings = session.paths.home, session.config.training
    with one_bar("evaluate") as progress:
        return run_protocol(table, settings, home=home, which=folds.value, progress=progress)


def _show(document: dict[str, Any]) -> None:
    answers.print(_folds(document))
    answers.print(_seeds(document))
    answers.print(_comparison(document))
    if document["lost_roc_auc"]:
        answers.print(_lost(document))
    if document["baselines"]["single_split"]:
        answers.print(_proof(document))


def _figures(scores: dict[str, float]) -> list[str]:
    return [f"{scores[name]:.3f}" for name in FIGURES]


def _table(title: str, *first: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in first:
        table.add_column(heading)
    for heading in FIGURES:
        table.add_column(heading, justify="right")
    return table


def _folds(document: dict[str, Any]) -> Table:
    table = _table(
        f"Sentinel's network, {document['judged_on']} week by {document['judged_on']} week "
        f"(mean of {len(document['settings']['seeds'])} seeds)",
        "train from",
    )
    for fold in document["folds"]:
        table.add_row(fold["start"], *_figures(fold["network"]))
    table.add_row("[bold]mean[/]", *(f"[bold]{figure}[/]" for figure in _figures(document["mean"])))
    return table


def _seeds(document: dict[str, Any]) -> Table:
    table = _table("\nThe same, seed by seed (mean of the folds)", "seed")
    for seed, scores in zip(document["settings"]["seeds"], document["seeds"], strict=True):
        table.add_row(str(seed), *_figures(scores))
    return table


def _comparison(document: dict[str, Any]) -> Table:
    table = _table(f"\nMean of the {document['judged_on']} folds", "model", "features")
    baselines = document["baselines"]
    table.add_row("[bold]Sentinel's network[/]", "Sentinel", *_figures(document["mean"]))
    for key, peer in document["peers"].items():
        tuned = f"tuned {peer['minutes']:.0f} min" if peer["trials"] else "not tuned"
        table.add_row(f"{peer['title']}, {tuned}", "Sentinel", *_figures(baselines[f"{key}_same_features"]))
    for name, scores in baselines["published"].items():
        table.add_row(name, "published", *_figures(scores))
    if document["ceiling"]:
        table.add_row("[dim]hindsight reference (knows the scenarios)[/]", "", *_figures(document["ceiling"]))
    return table


def _lost(document: dict[str, Any]) -> Table:
    title = "\nWhat roc_auc lacks to 1, by the simulator's scenario (2: an own row for terminals with a known fraud)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("fraud")
    for heading in ("share of frauds", "genuine rows below it", "lost"):
        table.add_column(heading, justify="right")
    for kind, found in document["lost_roc_auc"].items():
        table.add_row(kind, f"{found['share']:.3f}", f"{found['rank']:.3f}", f"{found['lost']:.4f}")
    return table


def _proof(document: dict[str, Any]) -> Table:
    table = _table("\nThe book's models on the book's features, one split: proof of the metrics", "model", "")
    for name, found in document["baselines"]["single_split"].items():
        table.add_row(name, "published", *_figures(found["published"]))
        table.add_row("", "reproduced", *_figures(found["reproduced"]))
    return table
