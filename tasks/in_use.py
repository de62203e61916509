"""Which models a change of the features must not reach."""

from __future__ import annotations

from sentinel.features.in_use import InUse
from sentinel.promotion.store.opening import read_catalogue
from tasks.run import Run


def models_in_use(run: Run) -> list[InUse]:
    """Champion, challenger and the champion before, with the features that each was trained on."""
    catalogue = read_catalogue(run.tracking_uri, run.config.name)
    return [InUse(run.config.name, *used) for used in catalogue.feature_sets_in_use()]
