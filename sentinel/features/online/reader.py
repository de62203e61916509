"""From the online store to the vector a model takes: what was knowable of each transaction's keys just then.

The rules are those of training: a row speaks while it is not older than its view's ttl, its age is an input, and
what is missing or expired is None. A store of latest rows cannot answer the past: where the only row became knowable
after the transaction, the view reads as missing and its name stands in `too_new`, for the caller to count or refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sentinel.features.online.rows import Key, OnlineRow, OnlineRows
from sentinel.features.spec import FeatureSet, FeatureView, microseconds, view_name


class Asked(NamedTuple):
    """`keys`: the transaction's value of each key column, None where it has none; `at_us`: microseconds since 1970."""

    keys: Mapping[str, int | str | None]
    at_us: int


class Vector(NamedTuple):
    """`values`: of FeatureSet.columns, in order. `too_new`: the views whose row is younger than the question."""

    values: tuple[int | None, ...]
    too_new: tuple[str, ...]


def read_vectors(rows: OnlineRows, wanted: FeatureSet, asked: Sequence[Asked]) -> list[Vector]:
    """A vector for each transaction asked about, in order; one round trip for all."""
    names = [view_name(view, wanted) for view in wanted.views]
    keys = [[_key(view, each) for view in wanted.views] for each in asked]
    present = [(name, key) for of_one in keys for name, key in zip(names, of_one, strict=True) if key is not None]
    answers = iter(rows.read(present))
    found = [[None if key is None else next(answers) for key in of_one] for of_one in keys]
    return [_vector(wanted, each.at_us, of_one) for each, of_one in zip(asked, found, strict=True)]


def _key(view: FeatureView, asked: Asked) -> Key | None:
    """The key of the view; None when a part of it is missing."""
    values = [asked.keys[column] for column in view.keys]
    present = tuple(value for value in values if value is not None)
    return present if len(present) == len(values) else None


def _vector(wanted: FeatureSet, at_us: int, found: Sequence[OnlineRow | None]) -> Vector:
    values: list[int | None] = []
    ages: list[int | None] = []
    too_new: list[str] = []
    for view, row in zip(wanted.views, found, strict=True):
        age = None if row is None else at_us - row.known_at_us
        if row is None or age is None or not 0 <= age <= microseconds(view.ttl):
            values += [None] * len(view.aggregates)
            ages.append(None)
        else:
            values += row.values
            ages.append(age)
        if age is not None and age < 0:
            too_new.append(view.name)
    return Vector((*values, *ages), tuple(too_new))
