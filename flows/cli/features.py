"""`sentinel features`: what each feature is, and its registration with Feast."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape

from flows.cli import feature_audit, feature_online, feature_show, feature_stream
from flows.cli.console import ConfigOption, JsonOption, answers, new_group, open_session, remarks
from flows.in_use import models_in_use
from sentinel.errors import ConfigInvalid

app = new_group("See what each feature is, and register the features with Feast.", "sentinel features show")
app.command(epilog="Example: sentinel features show --config configs/handbook.toml")(feature_show.show)
app.command(epilog="Example: sentinel features audit --spec my_features.toml")(feature_audit.audit)
app.command(epilog="Example: sentinel features materialize --config configs/bank.toml")(feature_online.materialize)
app.command(epilog="Example: sentinel features ingest-stream < events.jsonl")(feature_stream.ingest_stream)
app.command(epilog="Example: sentinel features replay --days 7")(feature_stream.replay)


@app.command(epilog="Example: sentinel features apply --config configs/handbook.toml")
def apply(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Register the newest built features with Feast, beside every other version.

    Refused (exit code 12) when it would change what champion or challenger use.
    """
    session = open_session(config, as_json)
    from sentinel.features.catalogue import newest_table
    from sentinel.features.definitions import service_name
    from sentinel.features.in_use import lost_features
    from sentinel.features.store import apply_table, project_name

    ours = session.config
    newest = newest_table(session.paths, ours.name, ours.columns, ours.features)
    if newest is None:
        raise ConfigInvalid(
            f"The features of {ours.name} were not built yet with this configuration and code, so Feast has no files "
            f"to point at. Run `sentinel run --config {ours.file}` first."
        )
    built, wanted = newest
    in_use = models_in_use(ours, session.paths)
    made = apply_table(session.paths, ours.name, built, in_use=in_use)
    lost = lost_features(session.paths, ours.name, in_use)
    for sentence in lost:
        remarks.print(f"[bold red]Lost:[/] {escape(sentence)}")
    document = {
        "project": project_name(ours.name),
        "feature_service": service_name(wanted),
        "feature_set_hash": wanted.hash,
        "objects": [made_object.name for made_object in made],
        "in_use": [asdict(used) for used in in_use],
        "lost_features": lost,
    }
    if as_json:
        session.answer(document)
    else:
        answers.print(f"Feast project {document['project']} has the service [bold]{document['feature_service']}[/].")
