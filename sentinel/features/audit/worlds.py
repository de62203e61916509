"""The two worlds of a cut: the data as they are, and the same with everything that was not knowable by then at random.

Amounts, keys, times (they stay after the cut), labels and their arrival change; rows vanish, rows and corrections are
added, some of them knowable one microsecond after the cut. What was knowable stays byte for byte, so that no value
asked for at or before the cut can differ, unless it knew the future.

Where keys are rare a leak would have nothing to show. So in both worlds half of the sampled transactions get
companions: payments of the same keys that were knowable by the cut, just then, and whose labels were not, or just then.
"""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import types

from sentinel.features.audit.oracle import NEVER, Ints, microseconds_of
from sentinel.features.spec import DAY, HOUR, FeatureSet, microseconds

DELETED, MOVED, REKEYED, FLIPPED, CORRECTED = 0.2, 0.5, 0.5, 0.65, 0.1
ADDED = 3  # rows for each sampled transaction, of its keys
REACH = 40 * DAY  # how far after the cut, or for a late row before it, a moved time lies
MOMENT = pa.timestamp("us", "UTC")

Bools = NDArray[np.bool_]


@dataclass
class _Rows:
    """Versions as arrays; a null moment is NEVER, a null label -1. `arrived`: when the label does."""

    event: Ints
    recorded: Ints | None
    arrived: Ints
    fraud: Ints
    amount: Ints
    known: Ints

    def take(self, places: Ints) -> _Rows:
        recorded = None if self.recorded is None else self.recorded[places]
        others = (self.arrived[places], self.fraud[places], self.amount[places], self.known[places])
        return _Rows(self.event[places], recorded, *others)


def with_companions(
    rows: pa.Table, asked: Sequence[int], cut: int, wanted: FeatureSet, random: np.random.Generator
) -> pa.Table:
    """`rows` with four payments more, of the keys of every second sampled transaction."""
    lag, delay = microseconds(wanted.ingestion_lag), microseconds(max(wanted.label_delay, wanted.ingestion_lag))
    happened = np.array([cut - lag, cut - delay, cut - delay + 1, cut - delay // 2])
    labelled = np.array([cut + 1, cut, cut + 1, cut + microseconds(DAY)])  # where labels bring their own time
    of = np.array(asked[::2], np.int64)
    places = np.concatenate([np.arange(rows.num_rows), np.repeat(of, len(happened))])
    is_added = np.arange(len(places)) >= rows.num_rows
    made = _arrays(rows, wanted).take(places)
    made.event[is_added], made.arrived[is_added] = np.tile(happened, len(of)), np.tile(labelled, len(of))
    if made.recorded is not None:
        made.recorded[is_added] = made.event[is_added]
    made.amount[is_added] = random.integers(1, 100, int(is_added.sum()))
    made.fraud[is_added] = random.integers(0, 2, int(is_added.sum()))
    columns = [_column(name, rows, made, places, places, is_added) for name in rows.column_names]
    return pa.table(columns, schema=rows.schema)


def another_future(
    rows: pa.Table, asked: Sequence[int], cut: int, wanted: FeatureSet, random: np.random.Generator
) -> pa.Table:
    """`rows` with another future after `cut`, in the same columns. `asked`: where the sampled transactions stand."""
    before = _arrays(rows, wanted)
    is_unknown = before.known > cut
    kept = np.flatnonzero(~is_unknown | (random.random(len(is_unknown)) >= DELETED))
    added = np.repeat(np.array(asked, np.int64), ADDED)
    is_corrected = ~is_unknown & (random.random(len(is_unknown)) < CORRECTED) & wanted.has_recorded_at
    places = np.concatenate([kept, added, np.flatnonzero(is_corrected)])
    number = np.arange(len(places)) - len(kept)  # from 0: of the new ones
    is_free = is_unknown[places] | (number >= 0)
    is_added = (number >= 0) & (number < len(added))
    after = before.take(places)
    is_moved = is_free & ((number >= 0) | (random.random(len(places)) < MOVED))
    _move(after, cut + 1 + _jumps(number, is_added, random), is_moved, is_added, number, wanted, random)
    _relabel(after, cut, is_free, is_added, wanted, random)
    after.amount = np.where(is_free, _other_amounts(after.amount, random), after.amount)
    is_rekeyed = is_free & ~is_added & (random.random(len(places)) < REKEYED)
    keys_from = np.where(is_rekeyed, random.choice(np.array(asked, np.int64), len(places)), places)
    columns = [_column(name, rows, after, places, keys_from, is_added) for name in rows.column_names]
    changed = pa.table(columns, schema=rows.schema)
    return changed.filter(pa.array(_is_first_of_its_kind(changed))) if wanted.has_recorded_at else changed


def _arrays(rows: pa.Table, wanted: FeatureSet) -> _Rows:
    event = microseconds_of(rows, "event_timestamp")
    recorded = microseconds_of(rows, "recorded_at") if wanted.has_recorded_at else None
    if wanted.has_label_available_at:
        arrived = microseconds_of(rows, "label_available_at")
    else:
        arrived = event + microseconds(wanted.label_delay)
    fraud = rows["is_fraud"].cast(pa.int64()).fill_null(-1).to_numpy()
    return _Rows(event, recorded, arrived, fraud, rows["amount_minor"].to_numpy(), _known(event, recorded, wanted))


def _known(event: Ints, recorded: Ints | None, wanted: FeatureSet) -> Ints:
    return (event if recorded is None else np.maximum(event, recorded)) + microseconds(wanted.ingestion_lag)


def _jumps(number: Ints, is_added: Bools, random: np.random.Generator) -> Ints:
    """How long after the cut something becomes known: at once, soon, or any time. Added rows: one of each."""
    which = np.where(is_added, number % ADDED, random.integers(0, 3, len(number)))
    soon, late = (random.integers(0, microseconds(reach), len(number)) for reach in (HOUR, REACH))
    return np.choose(which, [np.zeros(len(number), np.int64), soon, late])


def _move(
    after: _Rows, known: Ints, is_moved: Bools, is_added: Bools, number: Ints,
    wanted: FeatureSet, random: np.random.Generator,
) -> None:  # fmt: skip
    """Let the moved versions become knowable at `known`; a correction keeps its event, and some others come late."""
    stamp = known - microseconds(wanted.ingestion_lag)
    if after.recorded is None:
        after.event = np.where(is_moved, stamp, after.event)
    else:
        is_correction = (number >= 0) & ~is_added
        is_late = is_moved & (random.random(len(stamp)) < 0.5) & ~(is_added & (number % ADDED == 0))
        event = np.where(is_late, stamp - random.integers(0, microseconds(REACH), len(stamp)), stamp)
        after.recorded = np.where(is_moved, stamp, after.recorded)
        after.event = np.where(is_moved & ~is_correction, event, after.event)
    after.known = _known(after.event, after.recorded, wanted)


def _relabel(
    after: _Rows, cut: int, is_free: Bools, is_added: Bools, wanted: FeatureSet, random: np.random.Generator
) -> None:
    """Flip, delete and give labels that were not knowable by the cut; where arrivals are known they move too."""
    count = len(is_free)
    is_hidden = is_free | (np.maximum(after.arrived, after.known) > cut)
    if wanted.has_label_available_at:
        is_hidden |= after.fraud < 0
        arrived = cut + 1 + _jumps(np.arange(count), is_added, random)
        is_never = ~is_added & (random.random(count) < 0.1)
        after.arrived = np.where(is_hidden, np.where(is_never, NEVER, arrived), after.arrived)
    drawn = random.integers(0, 2, count)
    other = np.where(after.fraud < 0, drawn, 1 - after.fraud)
    is_labelled = is_added | (random.random(count) < FLIPPED)
    after.fraud = np.where(is_hidden, np.where(is_labelled, np.where(is_added, drawn, other), -1), after.fraud)


def _other_amounts(amounts: Ints, random: np.random.Generator) -> Ints:
    drawn = random.integers(1, 1_000_000, len(amounts))
    return drawn + (drawn == amounts)


def _column(name: str, rows: pa.Table, after: _Rows, places: Ints, keys_from: Ints, is_added: Bools) -> pa.Array:
    kind = rows.schema.field(name).type
    match name:
        case "transaction_id":
            return _with_new_ids(rows[name], places, is_added)
        case "event_timestamp":
            return pa.array(after.event, MOMENT).cast(kind)
        case "recorded_at":
            return pa.array(after.recorded, MOMENT).cast(kind)
        case "label_available_at":
            return pa.array(after.arrived, MOMENT, mask=after.arrived == NEVER).cast(kind)
        case "amount_minor":
            return pa.array(after.amount, kind)
        case "is_fraud":
            return pa.array(after.fraud > 0, kind, mask=after.fraud < 0)
        case _:
            return rows[name].take(pa.array(keys_from)).combine_chunks()


def _with_new_ids(ids: pa.ChunkedArray, places: Ints, is_added: Bools) -> pa.Array:
    taken = ids.take(pa.array(places[~is_added]))
    if types.is_int64(ids.type):
        largest = int(ids.to_numpy().max())
        new = np.arange(int(is_added.sum())) + (largest + 1 if largest < 2**62 else int(ids.to_numpy().min()) - 2**20)
    else:
        new = [f"added-{len(ids)}-{number}" for number in range(int(is_added.sum()))]
    both = pa.chunked_array([*taken.chunks, pa.array(new, ids.type)], ids.type).combine_chunks()
    order = np.empty(len(places), np.int64)
    order[~is_added] = np.arange(len(taken))
    order[is_added] = len(taken) + np.arange(len(new))
    return both.take(pa.array(order))


def _is_first_of_its_kind(rows: pa.Table) -> Bools:
    """Of versions of one transaction that were recorded at one moment the first: what was known stands first."""
    ids = rows["transaction_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    pairs = np.stack([ids.astype(np.int64), microseconds_of(rows, "recorded_at")], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    is_first = np.zeros(len(ids), np.bool_)
    is_first[first] = True
    return is_first
