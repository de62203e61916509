"""What every way to MLflow's registry can do: tell what it holds, and make one change of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sentinel.errors import ChampionMoved
from sentinel.promotion.catalogue import Catalogue

Texts = Mapping[str, str]


@dataclass(frozen=True)
class Swap:
    """Version numbers; None: the alias is not there."""

    before: str | None
    after: str | None


@dataclass(frozen=True)
class Change:
    """`champion` is compared and swapped first; then other aliases, tags and descriptions by version are set.

    Tables change in one transaction; a server is asked step by step, which the journal of the switch makes whole.
    """

    champion: Swap | None = None
    aliases: Texts = field(default_factory=dict[str, str])
    tags: Mapping[str, Texts] = field(default_factory=dict[str, Texts])
    descriptions: Texts = field(default_factory=dict[str, str])


class RegistryStore(Protocol):
    """The registry of one model."""

    def catalogue(self) -> Catalogue:
        """An unknown model has an empty one."""
        ...

    def apply(self, change: Change) -> None:
        """Raises ChampionMoved, with nothing changed, when the champion is not `change.champion.before`."""
        ...


def moved(name: str, expected: str | None, found: str | None) -> ChampionMoved:
    return ChampionMoved(
        f"The champion of {name} is {_version(found)} and not {_version(expected)}: somebody else moved the alias at "
        "the same moment. Nothing more was changed. See what serves with `sentinel models show champion`, then decide "
        "again."
    )


def _version(number: str | None) -> str:
    return f"version {number}" if number else "none"
