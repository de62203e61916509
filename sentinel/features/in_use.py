"""Which versions of the features a model relies on, and whether their files are still there. Light: no Feast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.features.applied import lost_files
from sentinel.paths import Paths

_SHORT_HASH = 12


@dataclass(frozen=True)
class InUse:
    """A registered model that reads the features of one hash; `alias` is that by which it is known (champion)."""

    model: str
    version: str
    alias: str
    feature_set_hash: str

    def __str__(self) -> str:
        return f"{self.alias} (version {self.version} of {self.model})"


def lost_features(paths: Paths, name: str, in_use: Sequence[InUse]) -> list[str]:
    """A sentence for each model whose features Feast could not answer for; none: a rollback finds its features."""
    return [
        f"The features {used.feature_set_hash[:_SHORT_HASH]} of the {used} are not there: {lost}. Until they are built "
        "again, nothing can be asked of them: run `sentinel run` on the data and code of that version, or retire it."
        for used in in_use
        if (lost := lost_files(paths, name, used.feature_set_hash))
    ]
