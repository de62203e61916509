"""`sentinel features show`: each feature in words, and the way of every value from the source into the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session

if TYPE_CHECKING:
    from sentinel.config import Columns
    from sentinel.features.catalogue import ViewEntry
    from sentinel.features.spec import FeatureSet

_WIDEST = 110  # wider lines are hard to read


def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every feature (definition, source, window, when knowable, how often missing), and draw the lineage."""
    session = open_session(config, as_json)
    from sentinel.features.catalogue import list_views, newest_table
    from sentinel.features.spec import feature_set
    from sentinel.model.lineage import derived_from

    ours = session.config
    newest = newest_table(session.paths, ours.name, ours.columns, ours.features)
    built, wanted = newest or (None, feature_set(ours.columns, ours.features))
    views = list_views(wanted, built)
    derived = derived_from(wanted.to_dict())
    if as_json:
        session.answer(_document(session, wanted, built, views, derived))
        return
    for view in views:
        answers.print(_listed(view), "")
    answers.print(_drawn(wanted, views, derived), "")
    answers.print(_sources(ours.columns, views), "")
    answers.print(_summary(ours.name, wanted, views, derived))
    if built is None:
        answers.print("No table of it was built yet: `sentinel run` builds it, and says how often each is missing.")


def _document(
    session: Session,
    wanted: FeatureSet,
    built: Path | None,
    views: list[ViewEntry],
    derived: dict[str, tuple[str, ...]],
) -> dict[str, Any]:
    from sentinel.features.lineage import lineage

    return {
        "feature_set_hash": wanted.hash,
        "built": session.paths.relative(built) if built else None,
        "columns": _source_columns(session.config.columns),
        "features": [feature.to_dict() for view in views for feature in view.features],
        "derived": [{"name": name, "inputs": list(inputs)} for name, inputs in derived.items()],
        "lineage": [edge.to_dict() for edge in lineage(views, derived)],
    }


def _listed(view: ViewEntry) -> Group:
    """What holds for the whole view is said once above its features."""
    head = Text.assemble((view.name, "bold"), f", knowable {view.knowable}, kept {view.ttl}")
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
    table.add_column("feature", no_wrap=True)
    table.add_column("holds")
    table.add_column("window", justify="right", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True)
    for feature in view.features:
        missing = "-" if feature.null_rate is None else f"{feature.null_rate:.1%}"
        table.add_row(feature.name, feature.definition, feature.window or "", missing)
    return Group(head, Text(f"from {', '.join(view.source_columns)}", "dim"), table)


def _drawn(wanted: FeatureSet, views: list[ViewEntry], derived: dict[str, tuple[str, ...]]) -> Group:
    from flows.cli.lineage_tree import draw_transaction, draw_view

    width = min(answers.width, _WIDEST)
    trees = [draw_view(view, derived, width) for view in views]
    own = ("amount_minor", "event_timestamp", *wanted.numeric)
    spaced = [part for tree in trees for part in (tree, "")]
    title = Text.assemble(
        ("Lineage", "bold"), ("   columns ─▶ view ─ features ▸ derived inside the model's graph", "dim")
    )
    return Group(title, "", *spaced, draw_transaction(own, derived, wanted.categorical, width))


def _sources(columns: Columns, views: list[ViewEntry]) -> Text:
    """Where the contract's columns come from, for those that have another name in the source."""
    read = dict.fromkeys(column for view in views for column in view.source_columns)
    renamed = {name: source for name, source in _source_columns(columns).items() if name in read and source != name}
    pairs = ", ".join(f"{name} is {source}" for name, source in renamed.items())
    return Text(f"In the source {pairs}." if pairs else "The source has these columns under the same names.", "dim")


def _source_columns(columns: Columns) -> dict[str, str]:
    """The source's name of each contract column."""
    roles = ("transaction_id", "event_timestamp", "recorded_at", "customer_id", "merchant_id", "is_fraud")
    single = {role: getattr(columns, role) for role in (*roles, "label_available_at")} | {
        "amount_minor": columns.amount
    }
    declared = {**single, **columns.entity_keys, **columns.numeric, **columns.categorical}
    return {name: column.source for name, column in declared.items() if column is not None}


def _summary(name: str, wanted: FeatureSet, views: list[ViewEntry], derived: dict[str, tuple[str, ...]]) -> str:
    stored = sum(len(view.features) for view in views)
    return (
        f"Feature set [bold]{wanted.short_hash}[/] of [bold]{name}[/]: {stored} features in {len(views)} views, and "
        f"{len(derived)} derived from them and the transaction inside the model's graph."
    )
