"""The same questions in two worlds: which answers differ, to the bit, a missing value included."""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa

from sentinel.features.audit.cuts import Cut
from sentinel.features.audit.experiment import Experiment
from sentinel.features.audit.oracle import Ints
from sentinel.features.audit.report import Leak, Planted, moment_text
from sentinel.features.spec import FeatureSet, FeatureView, span


def differing_rows(found: pa.Table, experiment: Experiment, columns: tuple[str, ...]) -> dict[str, Ints]:
    """Of each column the pairs of questions with different answers; columns without a difference are left out."""
    originals, changed = found.slice(0, experiment.pairs), found.slice(experiment.pairs, experiment.pairs)
    differing: dict[str, Ints] = {}
    for name in columns:
        before, after = originals[name], changed[name]
        is_null = before.is_null().to_numpy(), after.is_null().to_numpy()
        values = before.fill_null(0).to_numpy(), after.fill_null(0).to_numpy()
        if len(rows := np.flatnonzero((is_null[0] != is_null[1]) | (values[0] != values[1]))):
            differing[name] = rows
    return differing


def find_leaks(found: pa.Table, experiment: Experiment, cuts: Sequence[Cut], honest: FeatureSet) -> tuple[Leak, ...]:
    """Each honest feature that differs anywhere, with the first row in which it does."""
    windows = dict(columns_and_windows(honest))
    leaks: list[Leak] = []
    for feature, rows in differing_rows(found, experiment, honest.columns).items():
        row = int(rows[0])
        leaks.append(
            Leak(
                feature=feature,
                window=windows[feature],
                transaction_id=experiment.transaction_ids[row],
                asked_at=moment_text(int(experiment.asked_at[row])),
                cut=moment_text(cuts[int(experiment.cut[row])].moment),
                value=found[feature][row].as_py(),
                changed_value=found[feature][experiment.pairs + row].as_py(),
                rows=len(rows),
            )
        )
    return tuple(leaks)


def find_planted(found: pa.Table, experiment: Experiment, planted: Mapping[str, FeatureView]) -> tuple[Planted, ...]:
    """Whether the same comparison sees each planted leak, in its aggregates or in the age of its rows."""
    results: list[Planted] = []
    for name, view in planted.items():
        differing = differing_rows(found, experiment, (*view.columns, view.age))
        rows = np.unique(np.concatenate([*differing.values(), np.zeros(0, np.int64)]))
        results.append(Planted(name, len(rows) > 0, len(rows)))
    return tuple(results)


def columns_and_windows(wanted: FeatureSet) -> list[tuple[str, str | None]]:
    """`wanted.columns`, each with its window in words; None for an age."""
    aggregates = [
        (name, window_text(aggregate.window, aggregate.ahead))
        for view in wanted.views
        for name, aggregate in zip(view.columns, view.aggregates, strict=True)
    ]
    return [*aggregates, *((view.age, None) for view in wanted.views)]


def window_text(back: timedelta, ahead: timedelta) -> str:
    return f"{span(back)} and {span(ahead)} ahead" if ahead else span(back)
