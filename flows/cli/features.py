"""`sentinel features`: what each feature is, and its registration with Feast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, new_group, open_session
from sentinel.errors import ConfigInvalid

if TYPE_CHECKING:
    from sentinel.features.catalogue import FeatureEntry

app = new_group("See what each feature is, and register the features with Feast.")


@app.command(epilog="Example: sentinel features show --config configs/handbook.toml")
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every feature: definition, source columns, window, when it was knowable, and how often it is missing."""
    session = open_session(config, as_json)
    from sentinel.features.catalogue import list_features, newest_table
    from sentinel.features.spec import feature_set

    wanted = feature_set(session.config.columns, session.config.features)
    built = newest_table(session.paths, session.config.name, wanted)
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
        answers.print(f"Feature set [bold]{wanted.short_hash}[/] of [bold]{session.config.name}[/].")
        if built is None:
            answers.print("No table of it was built yet: `sentinel run` builds it, and the last column fills.")


@app.command(epilog="Example: sentinel features apply --config configs/handbook.toml")
def apply(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Register the newest built features with Feast, beside every other version."""
    session = open_session(config, as_json)
    from sentinel.features.catalogue import newest_table
    from sentinel.features.definitions import service_name
    from sentinel.features.spec import feature_set
    from sentinel.features.store import VIEWS, key_types, project_name
    from sentinel.features.store import apply as register_with_feast

    wanted = feature_set(session.config.columns, session.config.features)
    built = newest_table(session.paths, session.config.name, wanted)
    if built is None:
        raise ConfigInvalid(_nothing_built(session, wanted.short_hash))
    keys = key_types(wanted, built / "features.parquet")
    made = register_with_feast(session.paths, session.config.name, wanted, built / VIEWS, keys)
    document = {
        "project": project_name(session.config.name),
        "feature_service": service_name(wanted),
        "feature_set_hash": wanted.hash,
        "objects": [made_object.name for made_object in made],
    }
    if as_json:
        session.answer(document)
    else:
        answers.print(f"Feast project {document['project']} has the service [bold]{document['feature_service']}[/].")


def _nothing_built(session: Session, short_hash: str) -> str:
    return (
        f"The features {short_hash} of {session.config.name} were not built yet, so Feast has no files to point at. "
        f"Run `sentinel run --config {session.config.file}` first."
    )


def _show(entries: list[FeatureEntry]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("feature", no_wrap=True)
    for heading in ("what it holds", "from", "window", "knowable"):
        table.add_column(heading, overflow="fold")
    table.add_column("missing", justify="right", no_wrap=True)
    for entry in entries:
        missing = "" if entry.null_rate is None else f"{entry.null_rate:.1%}"
        table.add_row(
            entry.name, entry.definition, ", ".join(entry.source_columns), entry.window or "", entry.knowable, missing
        )
    answers.print(table)
