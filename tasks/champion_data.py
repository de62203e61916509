"""What the champion was trained on, as the reference that this run's data are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.artifacts import RawData
from tasks.run import Run

if TYPE_CHECKING:
    from sentinel.data.comparison import NoReference
    from sentinel.data.drift import Reference
    from sentinel.promotion.trained_on import TrainedOn


def find_champion_data(run: Run, raw: RawData) -> TrainedOn | None:
    """The same in every run on the same data: a champion that was trained on them is not compared with itself."""
    from sentinel.promotion.registry import Registry
    from sentinel.promotion.trained_on import champion_data

    return champion_data(Registry(run.tracking_uri, run.config.name, run.paths), raw.transactions_sha256)


def read_reference(run: Run, found: TrainedOn | None) -> Reference | NoReference:
    from sentinel.data import comparison

    if found is None:
        return comparison.read_reference(None, None)
    return comparison.read_reference(found.version, found.file(run.paths))
