"""Where the audit cuts time, and the small sub-source that it takes around each cut.

A cut is a moment; what was not knowable by then may not move any value asked for at or before it. Some cuts are the
last payment before the end of a part: its own row is not knowable yet. Others are the very moment at which a payment
or a label became knowable, so that a window that reaches ahead by the least meets what comes next.
"""

# pyarrow and DuckDB carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from sentinel.errors import AuditBlind
from sentinel.features.spec import FeatureSet, microseconds
from sentinel.features.sql_text import literal, quoted

LEAST_ROWS, MOST_ROWS = 6_000, 24_000  # of all sub-sources together
SHARE = 0.025  # of the table, between the two
ASKED = 24  # transactions a cut
CANDIDATES = 1_000  # transactions before a cut, of which those with short histories are taken
MOST_BUDGETS = 3  # of a cut's share, that it may take where rows are crowded
KEYS_IN_BUDGET = 8  # a key whose history would take more than this part of a cut's rows is taken near the cut only

CutKind = Literal["split boundary", "transaction", "row becomes knowable", "label becomes knowable"]
_SAMPLED: tuple[CutKind, ...] = ("transaction", "transaction", "row becomes knowable", "label becomes knowable")
_MOMENT_OF: dict[CutKind, str] = {
    "split boundary": "event_us",
    "transaction": "event_us",
    "row becomes knowable": "known_us",
    "label becomes knowable": "label_us",
}
_COLUMNS = (
    "transaction_id", "event_timestamp", "recorded_at", "amount_minor", "is_fraud", "label_available_at", "merchant_id",
)  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """`rows`: every version of the sampled keys' transactions; `asked`: where in them the sampled ones stand.

    `limited`: how many keys had so long a history that only what is near the cut was taken.
    """

    moment: int
    kind: CutKind
    rows: pa.Table
    asked: tuple[int, ...]
    limited: int


class Transactions:
    """transactions.parquet with the moments of every version, in DuckDB. Close it."""

    def __init__(self, file: Path, wanted: FeatureSet, *, threads: int = 2, memory_limit: str = "1500MB") -> None:
        names: list[str] = parquet.read_schema(file).names
        self.keys = wanted.keys
        self.columns = [name for name in dict.fromkeys([*_COLUMNS, *wanted.keys]) if name in names]
        self.has_versions = wanted.has_recorded_at
        self._connection = duckdb.connect(config={"threads": threads, "memory_limit": memory_limit})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute(f"CREATE TEMP VIEW versions AS {_versions_sql(file, self.columns, wanted)}")

    def close(self) -> None:
        self._connection.close()

    def one(self, sql: str) -> tuple[Any, ...]:
        row = self._connection.execute(sql).fetchone()
        assert row is not None
        return row

    def table(self, sql: str) -> pa.Table:
        return self._connection.execute(sql).to_arrow_table()

    def store(self, name: str, table: pa.Table) -> None:
        self._connection.register(name, table)


def choose_cuts(source: Transactions, boundaries: Sequence[datetime], random: np.random.Generator) -> list[Cut]:
    """A cut at each boundary and some at random, each with a sub-source closed under the keys it samples.

    Raises AuditBlind when the table is too small to cut.
    """
    rows, first, last = source.one("SELECT count(*), min(event_us), max(event_us) FROM versions")
    if rows < 2 or first == last:
        raise AuditBlind(
            f"The leak audit cannot show anything on {rows} transactions at one moment: a leak needs a past and a "
            "future. Bring more rows."
        )
    cuts = _moments(source, boundaries, (first, last), random)
    candidates = _candidates(source, cuts, last - first, rows)
    source.store("candidates", candidates)
    budget = int(min(max(rows * SHARE, LEAST_ROWS), MOST_ROWS)) // len(cuts)
    chosen = _choose(candidates, _counts(source), budget, random)
    return _sub_sources(source, cuts, chosen, budget, last - first)


def _versions_sql(file: Path, columns: Sequence[str], wanted: FeatureSet) -> str:
    """Every version with the moments (microseconds) at which it happened, and it and its label became knowable."""
    event, lag = "epoch_us(event_timestamp)", microseconds(wanted.ingestion_lag)
    recorded = f"greatest(epoch_us(recorded_at), {event})" if wanted.has_recorded_at else event
    if wanted.has_label_available_at:
        arrived, has_arrival = "epoch_us(label_available_at)", "label_available_at IS NOT NULL"
    else:
        arrived, has_arrival = f"{event} + {microseconds(wanted.label_delay)}", "true"
    known = f"{recorded} + {lag}"
    label = f"CASE WHEN is_fraud IS NOT NULL AND {has_arrival} THEN greatest({arrived}, {known}) END"
    named = ", ".join(map(quoted, columns))
    return (
        f"SELECT {named}, file_row_number AS place, {event} AS event_us, {known} AS known_us, {label} AS label_us "
        f"FROM read_parquet({literal(str(file))}, file_row_number = true)"
    )


def _moments(
    source: Transactions, boundaries: Sequence[datetime], span: tuple[int, int], random: np.random.Generator
) -> list[tuple[CutKind, int]]:
    """Of each cut its kind and moment: the last of that kind before a boundary, or before a moment drawn at random."""
    first, last = span
    before: list[tuple[CutKind, int]] = [("split boundary", _microseconds(boundary)) for boundary in boundaries]
    further: tuple[CutKind, ...] = () if boundaries else ("transaction",) * 4
    for kind in (*_SAMPLED, *further):
        before.append((kind, int(first + random.uniform(0.4, 0.95) * (last - first))))
    found = source.one(
        "SELECT "
        + ", ".join(f"max({_MOMENT_OF[kind]}) FILTER ({_MOMENT_OF[kind]} < {end})" for kind, end in before)
        + ", max(event_us) FILTER (event_us < " + str(last) + "), min(label_us) FROM versions"
    )  # fmt: skip
    *moments, last_but_one, first_label = found
    fallback = {"label becomes knowable": first_label}
    cuts: dict[int, CutKind] = {}
    for (kind, _), moment in zip(before, moments, strict=True):
        if moment is None:
            moment = fallback.get(kind, last_but_one)
        if moment is not None:
            cuts.setdefault(moment, kind)
    return [(kind, moment) for moment, kind in sorted(cuts.items())]


def _candidates(source: Transactions, cuts: Sequence[tuple[CutKind, int]], length: int, rows: int) -> pa.Table:
    """The transactions that make each cut, and some of the last before it, in one scan."""
    near = length * CANDIDATES // rows + 1
    own = {kind: f"{_MOMENT_OF[kind]} = c.moment" for kind, _ in cuts}
    is_anchor = f"CASE c.kind {' '.join(f'WHEN {literal(kind)} THEN {same}' for kind, same in own.items())} END"
    table = [{"cut": number, "kind": kind, "moment": moment} for number, (kind, moment) in enumerate(cuts)]
    source.store("cuts", pa.Table.from_pylist(table))
    columns = ", ".join(["v.place", *(f"v.{quoted(key)}" for key in source.keys)])
    return source.table(
        f"SELECT c.cut, coalesce({is_anchor}, false) AS is_anchor, {columns} FROM versions v JOIN cuts c "
        f"ON v.event_us <= c.moment AND (v.event_us >= c.moment - {near} OR {is_anchor}) "
        "QUALIFY row_number() OVER (PARTITION BY c.cut, is_anchor ORDER BY v.event_us DESC, v.place) "
        f"<= CASE WHEN is_anchor THEN 8 ELSE {CANDIDATES} END ORDER BY c.cut, v.place"
    )


def _counts(source: Transactions) -> dict[str, dict[Any, int]]:
    """Of each key column how many rows each candidate's key has."""
    found: dict[str, dict[Any, int]] = {}
    for key in source.keys:
        name = quoted(key)
        counted = source.table(
            f"SELECT {name} AS key, count(*) AS rows FROM versions "
            f"WHERE {name} IN (SELECT {name} FROM candidates) GROUP BY ALL"
        )
        found[key] = dict(zip(counted["key"].to_pylist(), counted["rows"].to_pylist(), strict=True))
    return found


@dataclass(frozen=True)
class _Choice:
    """One cut's sampled transactions (places in the file), and of each key column its keys with their rows."""

    places: tuple[int, ...]
    keys: Mapping[str, Mapping[Any, int]]


def _choose(
    candidates: pa.Table, counts: Mapping[str, Mapping[Any, int]], budget: int, random: np.random.Generator
) -> dict[int, _Choice]:
    """What makes the cut, and others at random whose keys have a short history, but one."""
    by_cut: dict[int, list[dict[str, Any]]] = {}
    for row in candidates.to_pylist():
        by_cut.setdefault(row["cut"], []).append(row)
    return {cut: _choice(rows, counts, budget, random) for cut, rows in by_cut.items()}


def _choice(
    rows: list[dict[str, Any]], counts: Mapping[str, Mapping[Any, int]], budget: int, random: np.random.Generator
) -> _Choice:
    longest = budget // KEYS_IN_BUDGET

    def history(row: dict[str, Any]) -> list[int]:
        return [min(counts[key].get(row[key], 0), longest) for key in counts]

    affordable = min(2 * budget / ASKED, float(np.quantile([sum(history(row)) for row in rows], 0.25)))

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        lengths, cost = history(row), sum(history(row))
        drawn = random.random()
        return (not row["is_anchor"], min(lengths) < 2, cost > affordable, cost if cost > affordable else drawn)

    taken: dict[int, dict[str, Any]] = {}
    keys: dict[str, dict[Any, int]] = {key: {} for key in counts}
    spent = 0
    for row in sorted(rows, key=order):
        if len(taken) == ASKED or (taken and spent >= budget):
            break
        taken[row["place"]] = row
        for key, of_key in counts.items():
            if row[key] is not None and row[key] not in keys[key]:
                keys[key][row[key]] = of_key[row[key]]
                spent += min(of_key[row[key]], longest)
    return _Choice(tuple(taken), keys)


def _sub_sources(
    source: Transactions,
    cuts: Sequence[tuple[CutKind, int]],
    chosen: Mapping[int, _Choice],
    budget: int,
    length: int,
) -> list[Cut]:
    """Read every version of the chosen keys' transactions; of a key with too long a history those near the cut."""
    longest = budget // KEYS_IN_BUDGET
    limited = dict.fromkeys(chosen, 0)
    columns = ", ".join(f"v.{quoted(name)}" for name in [*source.columns, "place"])
    pairs = [{"cut": number, "place": place} for number, choice in chosen.items() for place in choice.places]
    source.store("sampled", pa.Table.from_pylist(pairs))
    parts = [f"SELECT k.cut, {columns} FROM versions v JOIN sampled k ON v.place = k.place"]
    for key in source.keys:
        wanted: list[dict[str, Any]] = []
        for number, choice in chosen.items():
            for value, rows in choice.keys[key].items():
                reach = length
                if rows > longest:
                    reach = int(length * longest / (2 * rows))
                    limited[number] += 1
                moment = cuts[number][1]
                wanted.append({"cut": number, "key": value, "low": moment - reach, "high": moment + reach})
        if wanted:
            source.store(f"wanted_{key}", pa.Table.from_pylist(wanted))
            parts.append(
                f"SELECT k.cut, {columns} FROM versions v JOIN {quoted(f'wanted_{key}')} k "
                f"ON v.{quoted(key)} = k.key AND v.event_us BETWEEN k.low AND k.high"
            )
    found = _with_all_versions(source, " UNION ".join(parts), columns) if source.has_versions else " UNION ".join(parts)
    rows = source.table(f"SELECT * FROM ({found}) ORDER BY cut, place")
    return [
        _cut(rows.filter(pc.field("cut") == number), cuts[number], choice, limited[number], budget, source.columns)
        for number, choice in chosen.items()
    ]


def _with_all_versions(source: Transactions, found: str, columns: str) -> str:
    """Also the versions that have none of the keys: a correction may change a key."""
    source.store("found", source.table(f"SELECT DISTINCT cut, transaction_id FROM ({found})"))
    return f"SELECT k.cut, {columns} FROM versions v JOIN found k ON v.transaction_id = k.transaction_id"


def _cut(
    rows: pa.Table, cut: tuple[CutKind, int], choice: _Choice, limited: int, budget: int, columns: Sequence[str]
) -> Cut:
    is_asked = np.isin(rows["place"].to_numpy(), choice.places)
    if rows.num_rows > MOST_BUDGETS * budget:  # a key of many rows at once; any part of the data is data
        apart = np.abs(rows["event_timestamp"].cast(pa.int64()).to_numpy() - cut[1])
        is_kept = is_asked.copy()
        is_kept[np.argsort(apart, kind="stable")[: MOST_BUDGETS * budget]] = True
        rows, is_asked = rows.filter(pa.array(is_kept)), is_asked[is_kept]
    return Cut(cut[1], cut[0], rows.select(list(columns)), tuple(np.flatnonzero(is_asked).tolist()), limited)


def _microseconds(moment: datetime) -> int:
    return pa.scalar(moment, pa.timestamp("us", "UTC")).value
