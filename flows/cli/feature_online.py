"""`sentinel features materialize`: the online store brought up to date by hand."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session, remarks
from flows.cli.live import one_bar
from flows.environment import redis_url, tracking_uri
from sentinel.errors import ConfigInvalid, RecordInvalid, ServiceUnavailable

if TYPE_CHECKING:
    from sentinel.features.online.materialize import Materialized


@dataclass
class _Wanted:
    """A built table, and who reads its features: the configuration, or models by their aliases."""

    table: Path
    readers: list[str] = field(default_factory=list[str])


def materialize(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Fill the online store from the newest built features, and from those that champion and challenger use."""
    session = open_session(config, as_json)
    from sentinel.features.online.store import open_online, store_kind

    name, address = session.config.name, redis_url(session.config)
    where = session.config.where("services.redis_url")
    wanted = _wanted(session)
    with closing(open_online(session.paths, name, address, where=where)) as rows:
        done = [(each, _bring(session, each, rows)) for each in wanted]
    if as_json:
        sets = [{"used_by": each.readers, **made.to_dict()} for each, made in done]
        session.answer({"store": store_kind(address), "feature_sets": sets})
    for each, made in done:
        _require_equal(made)
        if not as_json:
            _show(each, made, store_kind(address))


def _require_equal(done: Materialized) -> None:
    if done.mismatches:
        raise RecordInvalid(
            f"{len(done.mismatches)} of {done.sample.size} sampled keys differ from the table after they were "
            f"written: {done.mismatches[0]}. Another program writes to this store, or it loses rows: see what uses "
            "it, and that it has room."
        )


def _bring(session: Session, wanted: _Wanted, rows: Any) -> Materialized:
    from sentinel.features.online.materialize import bring_online, record_in_feast

    spill = session.paths.feast(session.config.name) / "spill"
    with one_bar("materialize") as progress:
        done = bring_online(wanted.table, rows, spill=spill, progress=progress)
    record_in_feast(session.paths, session.config.name, done)
    return done


def _wanted(session: Session) -> list[_Wanted]:
    """The configuration's own newest table, then those of the models in use. Raises ConfigInvalid without the first."""
    from sentinel.features.applied import applied_versions
    from sentinel.features.catalogue import newest_table

    ours = session.config
    newest = newest_table(session.paths, ours.name, ours.columns, ours.features)
    if newest is None:
        raise ConfigInvalid(
            f"The features of {ours.name} were not built yet with this configuration and code, so nothing can be "
            f"brought online. Run `sentinel run --config {ours.file}` first."
        )
    folder, feature_set = newest
    wanted = {feature_set.hash: _Wanted(folder, ["configuration"])}
    built = {
        record["feature_set"]["hash"]: session.paths.absolute(record["views"]).parent
        for record in applied_versions(session.paths, ours.name)
    }
    for alias, used in _in_use(session):
        if used in wanted or used in built:
            wanted.setdefault(used, _Wanted(built.get(used, folder))).readers.append(alias)
        else:
            remarks.print(
                f"The features {used[:12]} of the {alias} have no built table here, so what is online stays as it "
                "is. A run builds them when it compares the two models."
            )
    return list(wanted.values())


def _in_use(session: Session) -> list[tuple[str, str]]:
    """(alias, hash of its feature set) of the models that serve or may serve; none when MLflow does not answer."""
    from sentinel.promotion.store.opening import read_catalogue

    try:
        catalogue = read_catalogue(tracking_uri(session.config, session.paths), session.config.name)
    except ServiceUnavailable as error:
        remarks.print(f"Which features the models use is not known: {error}")
        return []
    return [(alias, used) for _, alias, used in catalogue.feature_sets_in_use()]


def _show(wanted: _Wanted, done: Materialized, store: str) -> None:
    moment = datetime.fromtimestamp(done.views[0].until_us / 1e6, UTC)
    title = f"Feature set [bold]{done.feature_set.short_hash}[/] ({', '.join(wanted.readers)}) on {store}"
    if done.written == 0:
        answers.print(
            f"{title}: nothing to do, all {done.rows:,} rows as of {moment:%Y-%m-%d %H:%M:%S} UTC were there."
        )
        return
    answers.print(f"{title}, as of {moment:%Y-%m-%d %H:%M:%S} UTC; {done.sample.size:,} sampled keys are equal.")
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="bold")
    table.add_column("view")
    for heading in ("rows online", "written now"):
        table.add_column(heading, justify="right")
    for view in done.views:
        table.add_row(view.view, f"{view.rows:,}", f"{view.written:,}")
    answers.print(table)
