"""Random numbers without floats: 64-bit words of Philox, cut into integers, and integer tables.

Floating functions differ in the last bit between machines; words, shifts and products of integers do not.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

FACTOR_ONE = 1 << 16  # the factor 1 in tables of factors


def words(seed: int, stream: int, rows: int, columns: int) -> Words:
    """[columns, rows] random words; every (seed, stream) is a sequence of its own."""
    key = np.array([seed % 2**64, stream], dtype=np.uint64)
    return np.random.Philox(key=key).random_raw(rows * columns).reshape(columns, rows)


def parts(drawn: Words, bits: int) -> list[Integers]:
    """Cut each word into 64 / bits integers of that many bits, the lowest first."""
    mask = np.uint64((1 << bits) - 1)
    return [((drawn >> np.uint64(shift)) & mask).astype(np.int64) for shift in range(0, 64, bits)]


def below(uniform: Integers, limit: int | Integers, bits: int) -> Integers:
    """Scale integers of `bits` bits to 0 <= n < limit (limit up to 2**(62 - bits))."""
    return (uniform * limit) >> bits


def choose(uniform: Integers, weights: Integers, bits: int) -> Integers:
    """Indices drawn with integer `weights`."""
    cumulative = np.cumsum(weights)
    return np.searchsorted(cumulative, below(uniform, int(cumulative[-1]), bits), side="right").astype(np.int64)


def bell(drawn: Words) -> Integers:
    """0..1023, bell-shaped: the sum of each word's four 16-bit numbers, standard deviation 148 steps."""
    first, second, third, fourth = parts(drawn, 16)
    return (first + second + third + fourth) >> 8


def lognormal_factors(sigma: str) -> Integers:
    """exp(sigma z) in units of 1 / FACTOR_ONE, for each value of `bell`; z has deviation 1 (decimal arithmetic)."""
    with localcontext() as context:
        context.prec = 30
        deviation = Decimal(1024) / Decimal(48).sqrt()  # of a sum of four uniform numbers, each 256 steps wide
        steps = [(Decimal(step) - Decimal("511.5")) / deviation for step in range(1024)]
        return np.array([int((Decimal(sigma) * z).exp() * FACTOR_ONE) for z in steps], dtype=np.int64)


def exponential_quantiles(mean: int, size: int) -> Integers:
    """The exponential distribution with that mean: its value in the middle of each of `size` equal shares."""
    with localcontext() as context:
        context.prec = 30
        shares = [(Decimal(2 * index + 1)) / (2 * size) for index in range(size)]
        return np.array([int(-mean * (1 - share).ln()) for share in shares], dtype=np.int64)
