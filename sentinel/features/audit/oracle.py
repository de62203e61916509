"""What every feature of some questions must be, counted plainly from the rules of time: the oracle of the audit.

It shares nothing with the build but the definition of the features, and reads so:

- A version of a transaction (its first record, or a correction) is knowable `ingestion_lag` after it was recorded,
  and it is not recorded before it happened. It speaks from then until a later version of the same transaction is
  knowable.
- Its amount counts from that moment; its label from when the bank had it, and not before the version itself.
- A feature speaks as of the key's last event: the last moment, at or before the one asked about, at which something
  began to count or a version within the longest window was replaced. Longer ago than the longest window (the ttl):
  no value.
- A window holds what counts then and began to count in (last - window, last]. The age is the time since `last`.

The rules as they are meant: a spec that looks ahead or stamps rows too early is answered as if it did not.
All moments are int64 microseconds since 1970.
"""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sentinel.features.spec import Aggregate, FeatureSet, FeatureView, microseconds

ASKED_AT = "asked_at"  # of a question: the moment as of which the features of its keys are asked

NEVER = 2**63 - 1
LARGEST = 2**63 - 1  # sums end here, and at -LARGEST

Ints = NDArray[np.int64]
Answer = tuple[int | None, ...]


@dataclass(frozen=True)
class Events:
    """What counts for the keys of one view, sorted by key and `since`. `fraud` and `merchant` -1: none."""

    key: Ints
    since: Ints
    until: Ints
    happened: Ints
    amount: Ints
    fraud: Ints
    merchant: Ints

    def of(self, key: int) -> Events:
        first, last = np.searchsorted(self.key, [key, key + 1])
        return Events(*(column[first:last] for column in vars(self).values()))


def expected_features(source: pa.Table, wanted: FeatureSet, asked: pa.Table) -> list[Answer]:
    """The values of `wanted.columns` for each row of `asked` (the key columns and ASKED_AT); None: no value.

    `source`: transactions in the contract's columns with every version of each transaction that any asked key is in.
    """
    known, replaced = _knowable(source, wanted)
    moments = microseconds_of(asked, ASKED_AT)
    by_view: list[list[Answer]] = []
    for view in wanted.views:
        source_keys, asked_keys = numbered_keys(source, asked, view)
        events = _events(source, wanted, view, source_keys, known, replaced)
        pairs = zip(asked_keys.tolist(), moments.tolist(), strict=True)
        by_view.append([_answer(events.of(key), moment, view) for key, moment in pairs])
    return [
        (*(value for answer in answers for value in answer[:-1]), *(answer[-1] for answer in answers))
        for answers in zip(*by_view, strict=True)
    ]


def moments_asked(source: pa.Table, wanted: FeatureSet, transactions: pa.Table) -> Ints:
    """As of when each of `transactions` is asked about: its event, or just before any version of it was knowable.

    `source` holds every version of each of them; a transaction never sees itself.
    """
    known, _ = _knowable(source, wanted)
    asker = positions(source["transaction_id"], transactions["transaction_id"])
    first_known = np.full(transactions.num_rows, NEVER)
    np.minimum.at(first_known, asker[asker >= 0], known[asker >= 0])
    return np.minimum(microseconds_of(transactions, "event_timestamp"), first_known - 1)


def microseconds_of(table: pa.Table, column: str) -> Ints:
    """Since 1970; a null is NEVER."""
    return table[column].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(NEVER).to_numpy()


def positions(column: pa.ChunkedArray, values: pa.ChunkedArray) -> Ints:
    """Where each value of `column` stands in `values`; -1 for nowhere and for a null."""
    options = pc.SetLookupOptions(values.cast(column.type).combine_chunks(), skip_nulls=True)
    return pc.call_function("index_in", [column], options).fill_null(-1).to_numpy().astype(np.int64)


def _knowable(source: pa.Table, wanted: FeatureSet) -> tuple[Ints, Ints]:
    """Of each version, when it became knowable, and when the first of the later versions did (NEVER: none)."""
    happened, lag = microseconds_of(source, "event_timestamp"), microseconds(wanted.ingestion_lag)
    replaced = np.full(len(happened), NEVER)
    if not wanted.has_recorded_at:
        return happened + lag, replaced
    recorded = microseconds_of(source, "recorded_at")
    known = np.maximum(recorded, happened) + lag
    transaction = _numbers(source["transaction_id"])
    order = np.lexsort((recorded, transaction))
    is_followed = np.flatnonzero(transaction[order[:-1]] == transaction[order[1:]])
    for place in is_followed[::-1]:  # from the last version back to the first
        version, after = order[place], order[place + 1]
        replaced[version] = min(known[after], replaced[after])
    return known, replaced


def numbered_keys(source: pa.Table, asked: pa.Table, view: FeatureView) -> tuple[Ints, Ints]:
    """A number for each key that is asked about, the same in both tables; -1: another key, or one with a null."""
    of_source, of_asked = np.zeros(source.num_rows, np.int64), np.zeros(asked.num_rows, np.int64)
    for column in view.keys:
        values = asked[column].unique().drop_null()
        for numbers, table in ((of_source, source), (of_asked, asked)):
            place = positions(table[column], pa.chunked_array([values]))
            numbers[:] = np.where((numbers < 0) | (place < 0), -1, numbers * len(values) + place)
    return of_source, of_asked


def _events(source: pa.Table, wanted: FeatureSet, view: FeatureView, key: Ints, known: Ints, replaced: Ints) -> Events:
    counts, since = (key >= 0) & (known < replaced), known
    happened, amount = microseconds_of(source, "event_timestamp"), source["amount_minor"].to_numpy()
    fraud = source["is_fraud"].cast(pa.int64()).fill_null(-1).to_numpy()
    if view.kind == "labels":
        arrived = happened + microseconds(wanted.label_delay)
        if wanted.has_label_available_at:
            arrived = microseconds_of(source, "label_available_at")
        since = np.maximum(arrived, known)
        counts &= (fraud >= 0) & (arrived < NEVER) & (since < replaced)
    merchant = _numbers(source["merchant_id"]) if "merchant_id" in source.column_names else np.full(len(key), -1)
    order = np.lexsort((since, key))
    order = order[counts[order]]
    return Events(*(column[order] for column in (key, since, replaced, happened, amount, fraud, merchant)))


def _numbers(column: pa.ChunkedArray) -> Ints:
    """Equal numbers for equal values; -1 for a null."""
    return positions(column, pa.chunked_array([column.unique().drop_null()]))


def _answer(events: Events, moment: int, view: FeatureView) -> Answer:
    """The aggregates of one key as of `moment`, and last its age."""
    ttl = microseconds(view.ttl)
    is_departure = events.until < events.since + ttl
    moments = np.concatenate((events.since, events.until[is_departure]))
    past = moments[moments <= moment]
    last = int(past.max()) if len(past) else None
    if last is None or moment - last > ttl:
        return (None,) * (len(view.aggregates) + 1)
    counts = (events.since <= last) & (last < events.until)
    return (*(_value(events, counts, last, aggregate) for aggregate in view.aggregates), moment - last)


def _value(events: Events, counts: NDArray[np.bool_], last: int, aggregate: Aggregate) -> int | None:
    chosen = counts & (events.since > last - microseconds(aggregate.window))
    if aggregate.statistic.startswith("genuine_"):
        chosen &= events.fraud == 0
    match aggregate.statistic:
        case "count" | "label_count":
            return int(chosen.sum())
        case "fraud_count":
            return int((events.fraud[chosen] == 1).sum())
        case "first_fraud_at":
            return min(events.happened[chosen & (events.fraud == 1)].tolist(), default=None)
        case "last_fraud_at":
            return max(events.happened[chosen & (events.fraud == 1)].tolist(), default=None)
        case "last_genuine_at":
            return max(events.happened[chosen & (events.fraud == 0)].tolist(), default=None)
        case "amount_sum" | "genuine_amount_sum":
            return _sum_of_powers(events.amount[chosen], 1)
        case "amount_sum_of_squares" | "genuine_amount_sum_of_squares":
            return _sum_of_powers(events.amount[chosen], 2)
        case "amount_max" | "genuine_amount_max":
            return max(events.amount[chosen].tolist(), default=None)
        case "distinct_merchants":
            merchants = events.merchant[chosen]
            return len(np.unique(merchants[merchants >= 0]))


def _sum_of_powers(values: Ints, power: int) -> int:
    """Exact, then cut at what an int64 column holds."""
    total = sum(value**power for value in values.tolist())
    return max(-LARGEST, min(LARGEST, total))
