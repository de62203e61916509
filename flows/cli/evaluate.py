"""`sentinel evaluate`: a published protocol, run on its own data, beside the published figures."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session
from flows.cli.live import one_bar
from sentinel.config import Config
from sentinel.paths import Paths, find_paths

if TYPE_CHECKING:
    from sentinel.artifacts import FeatureTable

FIGURES = ("roc_auc", "pr_auc", "card_precision_at_100")


class KnownProtocol(StrEnum):
    handbook = "handbook"


def evaluate(
    data: Annotated[Path, typer.Option("--data", help="The protocol's transactions: one CSV or Parquet file.")],
    protocol: Annotated[KnownProtocol, typer.Option(help="Which published protocol.")] = KnownProtocol.handbook,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the served kind of network on published folds, beside the published table and XGBoost.

    Without --config the protocol's own configuration is used. Nothing is versioned, registered or kept.
    """
    own = find_paths(Path.cwd(), os.environ).configs / f"{protocol}.toml"
    session = open_session(config or own, as_json)
    document = _evaluate(session, data)
    if as_json:
        session.answer(document)
    else:
        _show(document)


def _evaluate(session: Session, data: Path) -> dict[str, Any]:
    from sentinel.training.handbook_evaluation import evaluate as run_protocol

    home = session.paths.home
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home, prefix="evaluating-") as scratch:
        # A home of its own, so that Feast's registry of the real runs stays as it is.
        aside = Paths(session.paths.root, Path(scratch))
        table = _features(session.config, data, aside)
        with one_bar("evaluate") as progress:
            return run_protocol(table, session.config.training, home=aside.home, progress=progress)


def _features(config: Config, data: Path, aside: Paths) -> FeatureTable:
    from sentinel.artifacts import ValidatedData
    from sentinel.data.ingestion import ingest
    from sentinel.features.retrieval import build_features
    from sentinel.storage import sha256_file

    folder = aside.home / "data"
    with one_bar("ingest") as progress:
        ingested = ingest([data], config.columns, config.source, folder, where=config.where, progress=progress)
    transactions = folder / "transactions.parquet"
    digest = sha256_file(transactions)
    validated = ValidatedData(
        path=aside.relative(folder),
        sha256=digest,
        transactions=aside.relative(transactions),
        transactions_sha256=digest,
        expectations=0,
        rows=ingested.rows,
    )
    with one_bar("features") as progress:
        return build_features(
            validated, config.columns, config.features, name=config.name, paths=aside, out=aside.home / "features",
            progress=progress,
        )  # fmt: skip


def _show(document: dict[str, Any]) -> None:
    answers.print(_folds(document))
    answers.print(_comparison(document))
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
        f"Sentinel's network, test week by test week (mean of {len(document['settings']['seeds'])} seeds)", "train from"
    )
    for fold in document["folds"]:
        table.add_row(fold["start"], *_figures(fold["network"]))
    table.add_row("[bold]mean[/]", *(f"[bold]{figure}[/]" for figure in _figures(document["mean"])))
    return table


def _comparison(document: dict[str, Any]) -> Table:
    table = _table("\nMean of the four folds", "model", "features")
    baselines = document["baselines"]
    table.add_row("[bold]Sentinel's network[/]", "Sentinel", *_figures(document["mean"]))
    table.add_row("XGBoost, 100 trees, .1, depth 3", "Sentinel", *_figures(baselines["xgboost_same_features"]))
    for name, scores in baselines["published"].items():
        table.add_row(name, "published", *_figures(scores))
    if document["ceiling"]:
        table.add_row("[dim]hindsight reference (knows the scenarios)[/]", "", *_figures(document["ceiling"]))
    return table


def _proof(document: dict[str, Any]) -> Table:
    table = _table("\nThe book's models on the book's features, one split: proof of the metrics", "model", "")
    for name, found in document["baselines"]["single_split"].items():
        table.add_row(name, "published", *_figures(found["published"]))
        table.add_row("", "reproduced", *_figures(found["reproduced"]))
    return table
