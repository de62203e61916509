"""`sentinel features`: what each feature is, and its registration with Feast."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table

from flows.cli import feature_audit, feature_online, feature_stream
from flows.cli.console import ConfigOption, JsonOption, answers, new_group, open_session
from sentinel.errors import ConfigInvalid

if TYPE_CHECKING:
    from sentinel.features.catalogue import FeatureEntry

app = new_group("See what each feature is, and register the features with Feast.", "sentinel features show")
app.command(epilog="Example: sentinel features audit --spec my_features.toml")(feature_audit.audit)
app.command(epilog="Example: sentinel features materialize --config configs/bank.toml")(feature_online.materialize)
app.command(epilog="Example: sentinel features ingest-stream < events.jsonl")(feature_stream.ingest_stream)
app.command(epilog="Example: sentinel features replay --days 7")(feature_stream.replay)


@app.command(epilog="Example: sentinel features show --config configs/handbook.toml")
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every feature: definition, source columns, window, when it was knowable, and how often it is missing."""
    session = open_session(config, as_json)
    from sentinel.features.catalogue import list_features, newest_table
    from sentinel.features.spec import feature_set

    ours = session.config
    newest = newest_table(session.paths, ours.name, ours.columns, ours.features)
    built, wanted = newest or (None, feature_set(ours.columns, ours.features))
    entries = list_features(wanted, built)
    if as_json:
        session.answer(
            {
                "feature_set_hash": wanted.hash,
                "built": session.paths.relative(built) if built else None,
                "features": [entry.to_dict() for entry in entries],
            }
        )
    else:
        _show(entries)
        answers.print(f"Feature set [bold]{wanted.short_hash}[/] of [bold]{ours.name}[/].")
        if built is None:
            answers.print("No table of it was built yet: `sentinel run` builds it, and says how often each is missing.")


@app.command(epilog="Example: sentinel features apply --config configs/handbook.toml")
def apply(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Register the newest built features with Feast, beside every other version."""
    session = open_session(config, as_json)
    from sentinel.features.catalogue import newest_table
    from sentinel.features.definitions import service_name
    from sentinel.features.store import apply_table, project_name

    ours = session.config
    newest = newest_table(session.paths, ours.name, ours.columns, ours.features)
    if newest is None:
        raise ConfigInvalid(
            f"The features of {ours.name} were not built yet with this configuration and code, so Feast has no files "
            f"to point at. Run `sentinel run --config {ours.file}` first."
        )
    built, wanted = newest
    made = apply_table(session.paths, ours.name, built)
    document = {
        "project": project_name(ours.name),
        "feature_service": service_name(wanted),
        "feature_set_hash": wanted.hash,
        "objects": [made_object.name for made_object in made],
    }
    if as_json:
        session.answer(document)
    else:
        answers.print(f"Feast project {document['project']} has the service [bold]{document['feature_service']}[/].")


def _show(entries: list[FeatureEntry]) -> None:
    """A table a view: its rows became known together, from the same columns, so that this is said once."""
    for view, of_view in groupby(sorted(entries, key=_view), _view):
        features = list(of_view)
        sources = dict.fromkeys(column for entry in features for column in entry.source_columns)
        answers.print(f"[bold]{view}[/], known {features[0].knowable}\n[dim]from {', '.join(sources)}[/]")
        table = Table(box=None, padding=(0, 0, 0, 2), header_style="bold", show_header=False)
        table.add_column("feature", no_wrap=True)
        table.add_column("what it holds")
        table.add_column("missing", justify="right", no_wrap=True)
        for entry in features:
            missing = "" if entry.null_rate is None else f"{entry.null_rate:.1%} missing"
            table.add_row(entry.name, entry.definition, missing)
        answers.print(table)
        answers.print()


def _view(entry: FeatureEntry) -> str:
    return entry.view
