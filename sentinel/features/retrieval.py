"""Stage `features`: one row a transaction, with what was knowable of its customer and merchant just then."""

# pyarrow and Feast carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from sentinel.artifacts import FeatureTable, ValidatedData
from sentinel.config import Columns, Features
from sentinel.errors import SentinelError
from sentinel.features.applied import VIEWS
from sentinel.features.definitions import feast_objects, service_name
from sentinel.features.engine import open_engine
from sentinel.features.first_versions import ASKED_AT, write_first_versions
from sentinel.features.in_use import InUse
from sentinel.features.record import RECORD, Summary, build_record
from sentinel.features.retrieval_job import AsofRetrievalJob
from sentinel.features.spec import FeatureSet, feature_set, present_columns
from sentinel.features.store import apply, key_types, open_store, register, require_harmless
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, require_free_disk, sha256_path, write_json

TABLE = "features.parquet"

_BATCH = 131_072
_BYTES_A_ROW = 500  # views, table and what the engine may spill


def build_features(
    data: ValidatedData,
    columns: Columns,
    features: Features,
    *,
    name: str,
    paths: Paths,
    out: Path,
    in_use: Sequence[InUse] = (),
    progress: Progress = silent,
) -> FeatureTable:
    """Build every view, join it point in time through Feast, and register the views with Feast.

    `in_use`: the models whose features this must not change. Raises FeaturesInUse before anything is built.
    """
    names = parquet.read_metadata(paths.absolute(data.transactions)).schema.names
    wanted = feature_set(present_columns(columns, names), features)
    return _build(data, wanted, features, name=name, paths=paths, out=out, in_use=in_use, progress=progress)


def rebuild_features(
    data: ValidatedData,
    described: Path,
    features: Features,
    *,
    name: str,
    paths: Paths,
    out: Path,
    in_use: Sequence[InUse] = (),
    progress: Progress = silent,
) -> FeatureTable:
    """The same for the feature set of a release (its feature_set.json): a model is judged on its own features.

    `features` says which engine computes them; the feature set brings its own rules of time.
    """
    wanted = FeatureSet.from_dict(json.loads(described.read_text()))
    return _build(data, wanted, features, name=name, paths=paths, out=out, in_use=in_use, progress=progress)


def _build(
    data: ValidatedData,
    wanted: FeatureSet,
    features: Features,
    *,
    name: str,
    paths: Paths,
    out: Path,
    in_use: Sequence[InUse],
    progress: Progress,
) -> FeatureTable:
    transactions = paths.absolute(data.transactions)
    keys = key_types(wanted, transactions)
    require_harmless(paths, name, wanted, keys, in_use)
    require_free_disk(out, parquet.read_metadata(transactions).num_rows * _BYTES_A_ROW)
    with complete_folder(out) as folder:
        rows, summaries = answer(transactions, wanted, folder, features, name=name, paths=paths, progress=progress)
        write_json(folder / "feature_set.json", wanted.to_dict())
        write_json(folder / RECORD, build_record(wanted, data, folder / TABLE, summaries))
        digest = sha256_path(folder)
    apply(paths, name, wanted, out / VIEWS, keys, in_use=in_use)
    return FeatureTable(path=paths.relative(out), sha256=digest, rows=rows, feature_set_hash=wanted.hash)


def answer(
    transactions: Path,
    wanted: FeatureSet,
    folder: Path,
    features: Features | None = None,
    *,
    name: str,
    paths: Paths,
    asked: Path | None = None,
    progress: Progress = silent,
) -> tuple[int, dict[str, Any]]:
    """Build the views of `transactions` and write `folder`/features.parquet: each row asked about, as of its moment.

    `asked`: other rows than the transactions themselves; the leak audit asks so, through this very function.
    `features` says which engine computes (None: DuckDB).
    Returns the number of rows and the summary of each feature.
    """
    steps = len(wanted.views) + 2  # retrieval takes about as long as two views

    def built(done: float, total: float, doing: str = "") -> None:
        progress(done, steps, doing)

    def joined(done: float, total: float, doing: str = "") -> None:
        progress(len(wanted.views) + 2 * done / max(total, 1), steps, doing)

    scratch = folder / "scratch"
    with open_engine(features, paths, scratch) as engine:
        files = engine.build_views(transactions, wanted, folder / VIEWS, progress=built)
        store = open_store(paths, name, state=scratch, offline=engine.offline)
        register(store, feast_objects(wanted, files, key_types(wanted, transactions)))
        if asked is None:
            asked = transactions
            if wanted.has_recorded_at:
                asked = scratch / "first_versions.parquet"
                write_first_versions(transactions, wanted, asked, spill=scratch / "spill")
        summary = retrieve(store, wanted, asked, folder / TABLE, progress=joined)
    shutil.rmtree(scratch)
    return parquet.read_metadata(folder / TABLE).num_rows, summary


def retrieve(store: Any, wanted: FeatureSet, asked: Path, file: Path, *, progress: Progress = silent) -> dict[str, Any]:
    """Write the transactions `asked` about with every feature as of then; returns the summary of each feature.

    Raises SentinelError unless the same rows come back in the same order.
    """
    source = parquet.ParquetFile(asked)
    kept = pa.schema([column for column in source.schema_arrow if column.name != ASKED_AT])
    job = _ask(store, wanted, asked)
    try:
        given = _Batches(source.iter_batches(_BATCH, columns=kept.names))
        joined = _Batches(job.to_batches(_BATCH))
        summaries = {name: Summary() for name in wanted.columns}
        done, total = 0, source.metadata.num_rows
        progress(done, total, "point-in-time join")
        schema = pa.schema([*kept, *(pa.field(name, pa.int64()) for name in wanted.columns)])
        with parquet.ParquetWriter(file, schema, compression="zstd", **_encoding(schema)) as writer:
            while (rows := given.take(_BATCH)) is not None:
                found = joined.take(_BATCH)
                _require_same(rows, found, done)
                table = _with_features(rows, cast("pa.Table", found), wanted)
                for name, summary in summaries.items():
                    summary.add(table.column(name))
                writer.write_table(table.cast(schema))
                done += rows.num_rows
                progress(done, total, "point-in-time join")
        _require_same(None, joined.take(1), done)
        return {name: summary.to_dict() for name, summary in summaries.items()}
    finally:
        job.close()


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    """Whole numbers as differences, the rest by dictionary: half the writing time of the default, and smaller."""
    whole = [column.name for column in schema if pa.types.is_int64(column.type)]
    return {
        "use_dictionary": [name for name in schema.names if name not in whole],
        "column_encoding": dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
    }


def _ask(store: Any, wanted: FeatureSet, asked: Path) -> AsofRetrievalJob:
    job = store.get_historical_features(
        entity_df=_questions(store, wanted, asked), features=store.get_feature_service(service_name(wanted))
    )
    return cast("AsofRetrievalJob", job)


def _questions(store: Any, wanted: FeatureSet, asked: Path) -> str:
    """SQL of a row for each transaction; what Feast takes for event_timestamp is the moment as of which is asked."""
    moment = ASKED_AT if wanted.has_recorded_at else "event_timestamp"
    columns = ("transaction_id", "event_timestamp AS happened_at", *wanted.keys, f"{moment} AS event_timestamp")
    return store.config.offline_store.select(columns, asked)


def _with_features(rows: pa.Table, found: pa.Table, wanted: FeatureSet) -> pa.Table:
    """The transactions' columns, the aggregates, and each view's age: moment asked less knowable moment (us)."""
    for view in wanted.views:
        for column in view.columns:
            rows = rows.append_column(column, found.column(column))
    asked = found.column("event_timestamp").cast(pa.int64())
    for view in wanted.views:
        rows = rows.append_column(view.age, pc.call_function("subtract", [asked, found.column(view.known_at)]))
    return rows


def _require_same(rows: pa.Table | None, found: pa.Table | None, done: int) -> None:
    same = (rows is None) == (found is None)
    if rows is not None and found is not None:
        asked = {"transaction_id": "transaction_id", "event_timestamp": "happened_at"}
        pairs = [(rows.column(name), found.column(answered)) for name, answered in asked.items()]
        same = all(given.cast(reply.type).equals(reply) for given, reply in pairs)
    if not same:
        raise SentinelError(
            f"The point-in-time join did not give back the transactions it was asked for (from row {done} on). "
            "This is a fault of the feature store; nothing was kept. Please report it with this configuration."
        )


class _Batches:
    """Record batches of any size, handed out as tables of the size that is asked for."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._rest: list[pa.RecordBatch] = []

    def take(self, rows: int) -> pa.Table | None:
        """The next `rows` rows, fewer at the end, None after it."""
        held = sum(batch.num_rows for batch in self._rest)
        while held < rows and (batch := next(self._batches, None)) is not None:
            self._rest.append(batch)
            held += batch.num_rows
        if held == 0:
            return None
        table = pa.Table.from_batches(self._rest)
        self._rest = table.slice(rows).to_batches()
        return table.slice(0, rows).combine_chunks()
