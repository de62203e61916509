"""The simulated world: merchants with a place and a trade, customers with a home and habits.

Places are cells of a ring of neighbourhoods; a cell holds some 80 merchants and belongs to one country.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sentinel.data.draws import Integers, below, choose, parts, words

ROWS_PER_CUSTOMER = 350
ROWS_PER_MERCHANT = 175
MERCHANTS_PER_CELL = 80
HUNDREDTHS_ONLINE = 20  # of the merchants

COUNTRIES = ("DE", "FR", "NL", "AT", "BE", "US", "GB", "IE", "CN")
CELLS_OF_COUNTRY = np.array([60, 16, 12, 7, 5, 0, 0, 0, 0])
ONLINE_OF_COUNTRY = np.array([45, 6, 6, 3, 2, 15, 10, 8, 5])

CATEGORIES = ("groceries", "restaurant", "fuel", "clothing", "health", "transport", "electronics", "travel")
SHARE_OF_CATEGORY = np.array([30, 20, 10, 12, 8, 10, 7, 3])
PRICE_OF_CATEGORY = np.array([90, 85, 130, 140, 80, 45, 220, 260])  # hundredths of a customer's usual amount


@dataclass(frozen=True)
class Merchants:
    """Merchants 0..physical-1 stand in cells (merchant i in cell i mod cells), the others sell online."""

    physical: int
    cells: int
    country: Integers
    category: Integers

    @property
    def count(self) -> int:
        return len(self.country)


@dataclass(frozen=True)
class Customers:
    """Habits are integers: 16-bit shares, hundredths, cents."""

    home: Integers  # cell
    amount: Integers  # usual amount in cents
    activity: Integers  # weight among all customers
    online: Integers  # of 65,536 purchases
    shift_hours: Integers  # how much later than others this customer's day runs

    @property
    def count(self) -> int:
        return len(self.home)


def make_merchants(seed: int, stream: int, transactions: int) -> Merchants:
    count = max(40, transactions // ROWS_PER_MERCHANT)
    online = count * HUNDREDTHS_ONLINE // 100
    physical = count - online
    cells = max(1, physical // MERCHANTS_PER_CELL)
    country_draw, category_draw = parts(words(seed, stream, count, 1)[0], 32)
    cell = np.arange(physical, dtype=np.int64) % cells
    ends = np.cumsum(CELLS_OF_COUNTRY) * cells
    country = np.concatenate([
        np.searchsorted(ends, cell * 100, side="right"),
        choose(country_draw[physical:], ONLINE_OF_COUNTRY, 32),
    ])  # fmt: skip
    return Merchants(physical, cells, country.astype(np.int64), choose(category_draw, SHARE_OF_CATEGORY, 32))


def make_customers(seed: int, stream: int, transactions: int, cells: int) -> Customers:
    count = max(20, transactions // ROWS_PER_CUSTOMER)
    home, amount, activity, rest = (parts(drawn, 32) for drawn in words(seed, stream, count, 4))
    return Customers(
        home=below(home[0], cells, 32),
        amount=600 + below(amount[0], 7400, 32),
        activity=5 + below(activity[0], 96, 32),
        online=below(rest[0], 28_000, 32),
        shift_hours=below(rest[1], 5, 32) - 2,
    )
