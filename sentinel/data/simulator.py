"""Simulated card transactions, in the form of a bank's export: the demonstration's source file.

The world follows the description in chapter 3 of the Fraud Detection Handbook (Le Borgne et al.): customers buy near
home within their habits, and fraudsters spend large amounts, compromise merchants for 28 days or cards for 14.
Here labels arrive late, some only after the data's end, and purchases have a country, a channel and a trade.

Every number is an integer from the random words on, so that a seed gives the same bytes on every machine.
Days are made one after the other; a day is sorted by itself, so memory does not grow with the number of rows.
"""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sentinel.data.draws import Integers, below, exponential_quantiles, parts, words
from sentinel.data.population import CATEGORIES, COUNTRIES, Customers, Merchants, make_customers, make_merchants
from sentinel.data.purchases import DAY, SECOND, Purchases, make_purchases
from sentinel.data.table_files import write_table_file
from sentinel.progress import Progress, silent
from sentinel.storage import complete_file, require_free_disk

START = datetime(2025, 1, 1, tzinfo=UTC)  # a Wednesday
FIRST_WEEKDAY = 2
DAYS = 183
BYTES_PER_ROW = 40

# Purchases by weekday, Monday first.
WEEKDAYS = np.array([96, 94, 98, 103, 120, 128, 86])

# Fraud, scaled to the size of the world: the handbook's numbers are two of 10,000 merchants and three of 5,000 cards.
NEW_MERCHANTS_A_DAY = (2, 10_000)
NEW_CARDS_A_DAY = (3, 5_000)
MERCHANT_DAYS = 28
CARD_DAYS = 14
MERCHANT_SHARE = 57_344  # of 65,536 purchases at a compromised merchant
CARD_MULTIPLE = 4
CARD_SHARE = 21_845  # of 65,536: a third of a compromised card's purchases
LARGE_SHARE = 36  # of 65,536 purchases
LARGE_FROM, LARGE_SPAN = 30_000, 120_000  # cents
LARGEST_CONTACTLESS = 5_000  # cents

# Labels arrive after three days on average; one of sixteen (a dispute, a chargeback) after ten.
DELAYS = exponential_quantiles(3 * DAY, 1 << 12)
LATE_DELAYS = exponential_quantiles(10 * DAY, 1 << 12)
LATE_SHARE = 4_096  # of 65,536
SHORTEST_DELAY = 3_600 * SECOND

KINDS = ("", "large_amount", "compromised_merchant", "compromised_card")
CHANNELS = ("chip", "contactless", "online")
LABELS = ("genuine", "fraud", "unknown")

SCHEMA = pa.schema([
    ("transaction_id", pa.int64()),
    ("event_time", pa.timestamp("us", "UTC")),
    ("customer_id", pa.int64()),
    ("merchant_id", pa.int64()),
    ("amount", pa.decimal128(12, 2)),
    ("country", pa.string()),
    ("channel", pa.string()),
    ("merchant_category", pa.string()),
    ("label", pa.string()),
    ("label_available_at", pa.timestamp("us", "UTC")),
    ("fraud_kind", pa.string()),
])  # fmt: skip

# Streams of random words; day d draws from stream DAY_STREAM + d.
MERCHANT_STREAM, CUSTOMER_STREAM, FRAUD_STREAM, RHYTHM_STREAM, DAY_STREAM = 0, 1, 2, 3, 16


@dataclass(frozen=True)
class World:
    seed: int
    merchants: Merchants
    customers: Customers
    merchant_from: Integers  # [new, 2]: day, merchant; compromised from that day on
    card_from: Integers  # [new, 2]: day, customer


def simulate(out: Path, transactions: int, seed: int, progress: Progress = silent) -> None:
    """Write `transactions` rows of 183 days to the Parquet file `out`, sorted by time."""
    require_free_disk(out.parent, transactions * BYTES_PER_ROW)
    with complete_file(out) as temporary:
        write_table_file(temporary, SCHEMA, _days(transactions, seed, progress))


def _days(transactions: int, seed: int, progress: Progress) -> Iterator[pa.Table]:
    world = _make_world(transactions, seed)
    rows_by_day = _rows_by_day(transactions, seed)
    first_id = 0
    for day, rows in enumerate(rows_by_day):
        progress(first_id, transactions, f"day {day + 1} of {DAYS}")
        if rows:
            yield _make_day(world, day, rows, first_id)
        first_id += rows
    progress(transactions, transactions)


def _make_world(transactions: int, seed: int) -> World:
    merchants = make_merchants(seed, MERCHANT_STREAM, transactions)
    customers = make_customers(seed, CUSTOMER_STREAM, transactions, merchants.cells)
    merchant_days = _starts(merchants.count, NEW_MERCHANTS_A_DAY)
    card_days = _starts(customers.count, NEW_CARDS_A_DAY)
    drawn = parts(words(seed, FRAUD_STREAM, max(len(merchant_days), len(card_days)), 1)[0], 32)
    return World(
        seed,
        merchants,
        customers,
        np.stack([merchant_days, below(drawn[0][: len(merchant_days)], merchants.count, 32)], axis=1),
        np.stack([card_days, below(drawn[1][: len(card_days)], customers.count, 32)], axis=1),
    )


def _starts(population: int, new_a_day: tuple[int, int]) -> Integers:
    """The days on which one more of `population` is compromised, evenly spread, with the handbook's rate."""
    new, of = new_a_day
    days = np.arange(DAYS + 1, dtype=np.int64)
    begun = (days * new * population + of // 2) // of
    return np.repeat(days[:-1], np.diff(begun))


def _rows_by_day(transactions: int, seed: int) -> list[int]:
    noise = below(parts(words(seed, RHYTHM_STREAM, DAYS, 1)[0], 32)[0], 81, 32)  # a day has up to 4 % more or less
    weekdays = (np.arange(DAYS) + FIRST_WEEKDAY) % 7
    cumulative = np.cumsum(WEEKDAYS[weekdays] * (960 + noise))
    ends = [int(weight) * transactions // int(cumulative[-1]) for weight in cumulative]
    return np.diff(np.array([0, *ends], dtype=np.int64)).tolist()


def _make_day(world: World, day: int, rows: int, first_id: int) -> pa.Table:
    drawn = words(world.seed, DAY_STREAM + day, rows, 6)
    purchases = make_purchases(world.customers, world.merchants, day, drawn[:4])
    large_draw, card_draw, size_draw, late_draw = parts(drawn[4], 16)
    delay_draw, contactless_draw, merchant_draw, _ = parts(drawn[5], 16)
    kind = _kinds(world, day, purchases, card_draw, merchant_draw, large_draw)
    amount = np.where(
        kind == KINDS.index("large_amount"), LARGE_FROM + below(size_draw, LARGE_SPAN, 16), purchases.amount
    )
    amount = np.where(kind == KINDS.index("compromised_card"), amount * CARD_MULTIPLE, amount)
    label_time = purchases.time + _delays(delay_draw, late_draw)
    known = label_time < DAYS * DAY
    label = np.where(known, (kind > 0).astype(np.int64), LABELS.index("unknown"))
    merchants = world.merchants
    return pa.Table.from_arrays(
        [
            pa.array(np.arange(first_id, first_id + rows, dtype=np.int64)),
            _timestamps(purchases.time),
            pa.array(purchases.customer),
            pa.array(purchases.merchant),
            _decimals(amount),
            _texts(merchants.country[purchases.merchant], COUNTRIES),
            _texts(_channels(merchants, purchases.merchant, amount, contactless_draw), CHANNELS),
            _texts(merchants.category[purchases.merchant], CATEGORIES),
            _texts(label, LABELS),
            _timestamps(label_time, known),
            _texts(kind, KINDS),
        ],
        schema=SCHEMA,
    )


def _kinds(
    world: World, day: int, purchases: Purchases, card_draw: Integers, merchant_draw: Integers, large_draw: Integers
) -> Integers:
    cards = _compromised(world.card_from, day, CARD_DAYS, world.customers.count)
    shops = _compromised(world.merchant_from, day, MERCHANT_DAYS, world.merchants.count)
    kind = np.where(large_draw < LARGE_SHARE, KINDS.index("large_amount"), 0)
    kind[shops[purchases.merchant] & (merchant_draw < MERCHANT_SHARE)] = KINDS.index("compromised_merchant")
    kind[cards[purchases.customer] & (card_draw < CARD_SHARE)] = KINDS.index("compromised_card")
    return kind


def _compromised(begun: Integers, day: int, days: int, population: int) -> npt.NDArray[np.bool_]:
    present = begun[(begun[:, 0] <= day) & (day < begun[:, 0] + days), 1]
    found = np.zeros(population, dtype=np.bool_)
    found[present] = True
    return found


def _delays(delay_draw: Integers, late_draw: Integers) -> Integers:
    index = delay_draw >> 4
    return SHORTEST_DELAY + np.where(late_draw < LATE_SHARE, LATE_DELAYS[index], DELAYS[index])


def _channels(merchants: Merchants, merchant: Integers, amount: Integers, contactless_draw: Integers) -> Integers:
    contactless = (amount <= LARGEST_CONTACTLESS) & (contactless_draw < 45_000)
    return np.where(merchant >= merchants.physical, 2, contactless.astype(np.int64))


def _timestamps(since_start: Integers, known: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    start = int(START.timestamp()) * SECOND
    return pa.array(since_start + start, mask=None if known is None else ~known).cast(pa.timestamp("us", "UTC"))


def _decimals(cents: Integers) -> pa.Array:
    """Cents as decimals with two digits, exactly: the low and high halves of 128-bit integers."""
    halves = np.stack([cents, cents >> 63], axis=1)
    return pa.Array.from_buffers(pa.decimal128(12, 2), len(cents), [None, pa.py_buffer(halves.tobytes())])


def _texts(codes: Integers, words_of_code: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(words_of_code)).cast(pa.string())
