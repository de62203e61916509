"""The registry and its review for flows and commands: where they are, and whether a version's features are there."""

from __future__ import annotations

from flows.environment import redis_url, registry_database_url, tracking_uri
from sentinel.config import Config
from sentinel.paths import Paths
from sentinel.promotion.catalogue import StoredVersion
from sentinel.promotion.registry import Registry
from sentinel.promotion.review.answer import Review


def open_registry(config: Config, paths: Paths) -> Registry:
    return Registry(tracking_uri(config, paths), config.name, paths, registry_database_url(config))


def open_review(config: Config, paths: Paths) -> Review:
    return Review(open_registry(config, paths), config.promotion, lambda stored: features_gone(config, paths, stored))


def features_gone(config: Config, paths: Paths, stored: StoredVersion) -> list[str]:
    """A sentence for each store, offline and online, that no longer holds the features of a version."""
    from sentinel.features.in_use import InUse, lost_features
    from sentinel.features.online.proof import subject
    from sentinel.features.online.store import online_file, open_online

    used = stored.feature_set_hash
    lost = lost_features(paths, config.name, [InUse(config.name, stored.version, "model", used)])
    address = redis_url(config)
    if address or online_file(paths, config.name).is_file():
        rows = open_online(paths, config.name, address, where=config.where("services.redis_url"))
        try:
            is_online = bool(rows.noted(subject(used)))
        finally:
            rows.close()
    else:
        is_online = False
    if not is_online:
        lost.append(
            f"The features {used[:12]} of version {stored.version} are not in the online store, so it would score with "
            "nothing. Bring them there with `sentinel features materialize`."
        )
    return lost
