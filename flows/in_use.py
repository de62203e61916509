"""Which models a change of the features must not reach, for the commands."""

from __future__ import annotations

from flows.environment import tracking_uri
from sentinel.config import Config
from sentinel.features.in_use import InUse
from sentinel.paths import Paths
from sentinel.promotion.store.opening import read_catalogue


def models_in_use(config: Config, paths: Paths) -> list[InUse]:
    """Champion, challenger and the champion before, with the features that each was trained on."""
    catalogue = read_catalogue(tracking_uri(config, paths), config.name)
    return [InUse(config.name, *used) for used in catalogue.feature_sets_in_use()]
