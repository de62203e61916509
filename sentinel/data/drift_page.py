"""The page about drift: verdict on top, then each column's distribution then and now. One file, nothing to load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sentinel.data.drift import BEYOND_ALL, HOURS, Measure, columns_of
from sentinel.data.drift_pictures import picture_of_categories, picture_of_hours, picture_of_numbers
from sentinel.data.drift_report import Comparison
from sentinel.data.profile import Profile

_NAMES = {
    "distribution": "distribution",
    "mean": "mean, standard deviations",
    "null_share": "change of the missing share",
    "unknown": "values never seen",
    "gone": "values no longer there",
    "absent": "column gone",
}


def render_page(name: str, found: Comparison, *, stops: bool) -> str:
    """`stops`: whether a shift ends a run."""
    environment = Environment(
        loader=PackageLoader("sentinel.data"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("drift.html").render(
        name=name, verdict=found.verdict, mark=found.verdict.replace(" ", "_"), note=found.note, stops=stops,
        warnings=found.warnings, sides=_sides(found), columns=_columns(found),
        periods=[period.removeprefix("in ") for period in found.periods],
    )  # fmt: skip


def _sides(found: Comparison) -> list[dict[str, str]]:
    if found.reference is None or not found.measures:
        return []
    sides = {f"training data of {found.reference.name}": found.reference.profile, **found.periods}
    return [_side(name, profile) for name, profile in sides.items()]


def _side(name: str, profile: Profile) -> dict[str, str]:
    days = [f"{moment:%Y-%m-%d}" if moment else "-" for moment in (profile.first, profile.last)]
    return {
        "name": name.removeprefix("in "),
        "rows": f"{profile.rows:,}",
        "first": days[0],
        "last": days[1],
        "a_day": "-" if profile.transactions_a_day is None else f"{profile.transactions_a_day:,.0f}",
        "labelled": "-" if profile.labelled_share is None else f"{profile.labelled_share:.1%}",
        "frauds": "-" if profile.fraud_rate is None else f"{profile.fraud_rate:.2%}",
    }


def _columns(found: Comparison) -> list[dict[str, Any]]:
    """Those that shifted first."""
    names = list(dict.fromkeys(measure.column for measure in found.measures))
    described = [_column(found, name) for name in names]
    return sorted(described, key=lambda column: column["mark"] != "shifted")


def _column(found: Comparison, name: str) -> dict[str, Any]:
    measures = [measure for measure in found.measures if measure.column == name]
    # the rows in which it strays furthest; else the most recent ones
    worst = max(reversed(measures), key=lambda measure: measure.is_shift)
    return {
        "name": name,
        "mark": "shifted" if worst.is_shift else "same",
        "period": worst.period.removeprefix("in "),
        "picture": _picture(found, name, found.periods[worst.period]),
        "measures": [
            {"name": says, "cells": [_cell(measures, kind, period) for period in found.periods]}
            for kind, says in _NAMES.items()
            if any(measure.kind == kind for measure in measures)
        ],
    }


def _cell(measures: Sequence[Measure], kind: str, period: str) -> dict[str, Any]:
    measure = next((one for one in measures if (one.kind, one.period) == (kind, period)), None)
    if measure is None:
        return {"value": "-", "threshold": "", "is_shift": False}
    figure = "{:.2f}" if kind in ("distribution", "mean") else "{:.1%}"
    return {
        "value": figure.format(measure.value) if measure.value < BEYOND_ALL else "beyond all",
        "threshold": figure.format(measure.threshold),
        "is_shift": measure.is_shift,
    }


def _picture(found: Comparison, name: str, now: Profile) -> str:
    if found.reference is None or (name != HOURS and name not in columns_of(now)):
        return ""
    then = found.reference.profile
    if name == HOURS:
        return picture_of_hours(then.hours, now.hours)
    if name in then.numbers:
        return picture_of_numbers(then.numbers[name], now.numbers[name])
    return picture_of_categories(then.categories[name].shares, now.categories[name].shares)
