"""What the champion was trained on: the profile of its training data, kept in its release."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sentinel.paths import Paths
from sentinel.promotion.layout import DATA_PROFILE, FACTS, GATES, Champion
from sentinel.promotion.registry import Registry
from sentinel.storage import sha256_file


@dataclass(frozen=True)
class TrainedOn:
    """`profile`: its file, relative to the home, with its digest; None in releases older than these profiles."""

    version: str
    profile: str | None
    sha256: str | None

    def file(self, paths: Paths) -> Path | None:
        return paths.absolute(self.profile) if self.profile else None


def champion_data(registry: Registry, data_digest: str | None = None) -> TrainedOn | None:
    """The profile that data with this digest are compared with; None when no champion came before them.

    A champion that was trained on these very data is not compared with itself: it counts whom it faced when it was
    judged, so that a repeated run compares as the first one did.
    """
    champion = registry.champion()
    home = registry.paths
    while champion is not None:
        release = home.absolute(champion.release_path)
        if not (release / FACTS).is_file() or _read(release / FACTS)["data_digest"] != data_digest:
            return _trained_on(champion, release, home.relative(release / DATA_PROFILE))
        faced = _read(release / GATES)["champion"]
        champion = Champion(**faced) if faced else None
    return None


def _trained_on(champion: Champion, release: Path, relative: str) -> TrainedOn:
    file = release / DATA_PROFILE
    if not file.is_file():
        return TrainedOn(champion.version, None, None)
    return TrainedOn(champion.version, relative, sha256_file(file))


def _read(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text()))
