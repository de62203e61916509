"""Who buys what, where and when: one day's purchases before any fraud."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sentinel.data.draws import FACTOR_ONE, Integers, Words, bell, below, choose, lognormal_factors, parts
from sentinel.data.population import PRICE_OF_CATEGORY, Customers, Merchants

SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND

PURCHASES_BY_HOUR = np.array([6, 4, 3, 2, 2, 4, 10, 22, 36, 44, 50, 58, 66, 60, 54, 54, 60, 70, 74, 66, 52, 38, 24, 12])
HOME_SHARE = (52_400, 62_300)  # of 65,536: at home up to here, next door up to there, else anywhere
AMOUNT_FACTORS = lognormal_factors("0.45")
SMALLEST_AMOUNT = 50  # cents


@dataclass(frozen=True)
class Purchases:
    """Rows in order of time."""

    time: Integers  # microseconds since the first day
    customer: Integers
    merchant: Integers
    amount: Integers  # cents


def make_purchases(customers: Customers, merchants: Merchants, day: int, drawn: Words) -> Purchases:
    """The purchases of one day, one for each column of `drawn` (four words)."""
    customer_draw, moment_draw = parts(drawn[0], 32)
    hour_draw, online_draw, region_draw, cell_draw = parts(drawn[1], 16)
    customer = choose(customer_draw, customers.activity, 32)
    hour = (choose(hour_draw, PURCHASES_BY_HOUR, 16) + customers.shift_hours[customer]) % 24
    time = day * DAY + hour * 3_600 * SECOND + below(moment_draw, 3_600_000, 32) * 1_000
    online = online_draw < customers.online[customer]
    cell = _cells(customers.home[customer], region_draw, cell_draw, merchants.cells)
    merchant = _merchants(merchants, online, cell, drawn[2])
    price = PRICE_OF_CATEGORY[merchants.category[merchant]] * customers.amount[customer] // 100
    amount = np.maximum(price * AMOUNT_FACTORS[bell(drawn[3])] // FACTOR_ONE, SMALLEST_AMOUNT)
    order = np.argsort(time, kind="stable")
    return Purchases(time[order], customer[order], merchant[order], amount[order])


def _cells(home: Integers, region_draw: Integers, cell_draw: Integers, cells: int) -> Integers:
    next_door = (home + np.where(cell_draw & 1, 1, cells - 1)) % cells
    anywhere = below(cell_draw, cells, 16)
    return np.where(region_draw < HOME_SHARE[0], home, np.where(region_draw < HOME_SHARE[1], next_door, anywhere))


def _merchants(merchants: Merchants, online: npt.NDArray[np.bool_], cell: Integers, drawn: Words) -> Integers:
    """A shop of the cell or any online shop; the smaller of two draws makes some shops busier than others."""
    first, second = parts(drawn, 32)
    uniform = np.where(online, first, np.minimum(first, second + (second >> 1)))
    in_cell = (merchants.physical - cell + merchants.cells - 1) // merchants.cells
    physical = cell + below(uniform, in_cell, 32) * merchants.cells
    return np.where(online, merchants.physical + below(uniform, merchants.count - merchants.physical, 32), physical)
