"""`sentinel tune`: better settings of training, looked for on validation folds alone; the winner is a configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session, remarks
from flows.cli.evaluate import FIGURES, KnownProtocol, open_protocol
from flows.cli.live import one_bar
from flows.environment import require_mlflow, tracking_uri
from flows.exclusive import one_run_at_a_time
from flows.interruption import ended_in_a_sentence
from flows.tuned_config import tuned_file, write_tuned_config
from sentinel.artifacts import FeatureTable
from sentinel.errors import ConfigInvalid

if TYPE_CHECKING:
    from sentinel.config import Training
    from sentinel.training.tuning.folds import FoldedRows
    from sentinel.training.tuning.search import Found, Search, Tried

_GO_ON = "The same call goes on from here."
SHOWN = 5

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="One CSV or Parquet file; without it the features that the last run built."),
]
ProtocolOption = Annotated[
    KnownProtocol | None, typer.Option(help="Judge on the validation folds of a published protocol; it needs --data.")
]
TrialsOption = Annotated[
    int, typer.Option(min=1, help="Finished trials in all; those of earlier calls on the same data and code count.")
]
MinutesOption = Annotated[
    float | None, typer.Option(min=0, help="Begin no trial after so many minutes; the one going on is finished.")
]


def tune(
    config: ConfigOption = None,
    data: DataOption = None,
    protocol: ProtocolOption = None,
    trials: TrialsOption = 30,
    minutes: MinutesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for better settings of training on folds that end before calibration and test begin.

    The best become a configuration beside the one it started from. Stopped in any way, the same call goes on where it
    was. Each trial is a nested run in MLflow's experiment NAME-tuning.
    """
    session = open_protocol(protocol, config, as_json) if protocol else open_session(config, as_json)
    require_mlflow(tracking_uri(session.config, session.paths))
    lock = session.paths.lock(f"{session.config.name}-tuning")
    alone = one_run_at_a_time(lock, "tune", "the command line", remarks.print)
    with ended_in_a_sentence(_GO_ON), alone:
        wanted = _search(session, data, protocol)
        document, found = _tune(session, wanted, trials, minutes)
        if as_json:
            session.answer(document)
        else:
            _show(found, document)
        if found.was_interrupted:
            raise KeyboardInterrupt


def _search(session: Session, data: Path | None, protocol: KnownProtocol | None) -> Search:
    from sentinel.training.device.hardware import choose_hardware
    from sentinel.training.tuning.search import network_search

    rows, settings, judged_on = _judged(session, data, protocol)
    choose_hardware(settings)  # what this machine lacks is told before the first trial
    judged_on = {**judged_on, "code": _code(session)}
    return network_search(rows, settings, judged_on, title=protocol or session.config.name)


def _judged(
    session: Session, data: Path | None, protocol: KnownProtocol | None
) -> tuple[FoldedRows, Training, dict[str, Any]]:
    """The folds, what a trial starts from, and the digests of what is judged on."""
    config = session.config
    if protocol is None:
        table = _newest(session) if data is None else _aside(session, data)
        rows = _rolling(session, table)
        return rows, config.training, {"table": table.sha256, "splits": config.splits.model_dump(mode="json")}
    if data is None:
        raise ConfigInvalid(f"The protocol {protocol} is run on its own data. Give them with --data.")
    from sentinel.training.handbook.evaluation import fold_settings
    from sentinel.training.handbook.protocol import VALIDATION_FOLDS
    from sentinel.training.handbook.table import read_feature_set, read_handbook

    table = _aside(session, data)
    folder = table.locate(session.paths.home)
    rows = read_handbook(folder, read_feature_set(folder), VALIDATION_FOLDS).data
    return rows, fold_settings(config.training), {"table": table.sha256, "protocol": str(protocol)}


def _aside(session: Session, data: Path) -> FeatureTable:
    from flows.table_aside import table_aside

    return table_aside(session.config, data, session.paths, one_bar)


def _newest(session: Session) -> FeatureTable:
    """What the last run built with this configuration. Raises ConfigInvalid without one."""
    from sentinel.features.catalogue import newest_table
    from sentinel.storage import sha256_file
    from sentinel.training.data.splits import TABLE

    ours, paths = session.config, session.paths
    newest = newest_table(paths, ours.name, ours.columns, ours.features)
    if newest is None:
        raise ConfigInvalid(
            f"The features of {ours.name} were not built yet with this configuration and code, so nothing can be "
            f"judged. Run `sentinel run --config {os.path.relpath(ours.file.resolve())}` first, or give --data."
        )
    folder, wanted = newest
    digest = sha256_file(folder / TABLE)
    return FeatureTable(path=paths.relative(folder), sha256=digest, rows=0, feature_set_hash=wanted.hash)


def _rolling(session: Session, table: FeatureTable) -> FoldedRows:
    from sentinel.training.data.source import FEATURE_SET
    from sentinel.training.data.splits import TABLE, read_splits, split
    from sentinel.training.tuning.rolling_folds import read_folds

    home = session.paths.home
    with TemporaryDirectory(dir=home, prefix="tuning-") as scratch:
        splits = split(table, session.config.splits, home=home, out=Path(scratch) / "splits")
        folder = table.locate(home)
        feature_set = json.loads((folder / FEATURE_SET).read_text())
        return read_folds(folder / TABLE, feature_set, read_splits(splits.locate(home)))


def _code(session: Session) -> Mapping[str, str]:
    from tasks.train import train

    files = train.code_files(session.paths.root)
    return {file: digest for file, digest in files.items() if file.endswith(".py")}  # not the peers' frozen settings


def _tune(session: Session, wanted: Search, trials: int, minutes: float | None) -> tuple[dict[str, Any], Found]:
    from sentinel.training.tuning.search import search
    from tasks.tuning import experiment_of, tracked_search

    config, paths = session.config, session.paths
    uri = tracking_uri(config, paths)
    database = paths.home / "tuning" / f"{config.name}.db"
    with tracked_search(wanted, uri, paths, config.name) as runs:
        with one_bar("tune") as progress:
            found = search(wanted, database, trials=trials, minutes=minutes, watcher=runs, progress=progress)
        file = _write_winner(session, found)
        if found.best and file:
            runs.keep_best(found.best, file)
        runs.status = "KILLED" if found.was_interrupted else "FINISHED"
    mlflow = {"experiment": experiment_of(config.name), "run_id": runs.parent}
    return _document(found, database, file, mlflow), found


def _document(found: Found, database: Path, file: Path | None, mlflow: Mapping[str, str]) -> dict[str, Any]:
    return {
        "search": found.search.name,
        "database": str(database),
        "folds": list(found.search.folds),
        "trials": [_trial(tried) for tried in found.tried],
        "best": _trial(found.best) if found.best else None,
        "config": str(file) if file else None,
        "mlflow": dict(mlflow),
        "was_interrupted": found.was_interrupted,
    }


def _write_winner(session: Session, found: Found) -> Path | None:
    best = found.best
    if best is None or best.mean is None:
        return None
    file = tuned_file(session.config)
    said = (
        f"Found by `sentinel tune`, trial {best.number} of {len(found.tried)}: mean pr_auc {best.mean.pr_auc:.4f} on",
        f"the validation folds {', '.join(found.search.folds)} (search {found.search.name}).",
    )
    write_tuned_config(session.config, best.settings, said, file)
    return file


def _trial(tried: Tried) -> dict[str, Any]:
    return {
        "number": tried.number,
        "outcome": "failed" if tried.failure else "complete" if tried.is_complete else "stopped early",
        "failure": tried.failure,
        "settings": dict(tried.settings),
        "mean": tried.mean.to_dict() if tried.mean else None,
        "folds": {name: scores.to_dict() for name, scores in tried.scores.items()},
        "seconds": tried.seconds,
    }


def _show(found: Found, document: dict[str, Any]) -> None:
    complete = [tried for tried in found.tried if tried.is_complete]
    tried, folds = len(found.tried), len(found.search.folds)
    answers.print(f"{tried} trials, {len(complete)} of them on all {folds} folds. The best, mean of the folds:")
    answers.print(_table(found.search, complete[:SHOWN]))
    file = document["config"]
    if file:
        answers.print(f"[bold]best[/]       {escape(os.path.relpath(file))}: {_changes(found)}", soft_wrap=True)
    answers.print(f"[bold]MLflow[/]     experiment {document['mlflow']['experiment']}, one nested run a trial")


def _table(search: Search, best: list[Tried]) -> Table:
    """A column a trial, so that many settings fit a narrow terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trial")
    for tried in best:
        table.add_column(str(tried.number), justify="right")
    means = [tried.mean.to_dict() if tried.mean else {} for tried in best]
    for figure in FIGURES:
        table.add_row(figure, *(f"{mean[figure]:.4f}" for mean in means))
    for name in search.space:
        table.add_row(name, *(_short(tried.settings[name]) for tried in best))
    return table


def _changes(found: Found) -> str:
    """What the winner has that the start had not."""
    best = found.best
    start = found.search.start
    changed = [
        f"{key} {_short(value)}" for key, value in (best.settings if best else {}).items() if value != start[key]
    ]
    return escape(", ".join(changed) or "nothing better than the settings it started from")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
