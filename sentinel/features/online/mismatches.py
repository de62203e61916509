"""Where an online vector differs from the offline one, view by view, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, get_args

from sentinel.features.online.rows import Key, OnlineRows
from sentinel.features.spec import FeatureSet, FeatureView, microseconds, view_name

Cause = Literal["stale", "late", "ttl", "code", "type"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
MEANING: dict[Cause, str] = {
    "stale": "the online row is older than the offline one",
    "late": "the online row knows what was not knowable yet",
    "ttl": "one of them treats the row as expired, the other does not",
    "code": "the key was not found online, or what was found is no integer",
    "type": "a row of the same moment holds another value, or the moment itself lost its precision",
}

_COARSER = (1_000_000, 1_000)  # seconds and milliseconds, to which stores are known to cut


class Question(Protocol):
    @property
    def transaction_id(self) -> int | str: ...
    @property
    def at_us(self) -> int: ...
    @property
    def keys(self) -> dict[str, int | str | None]: ...
    @property
    def expected(self) -> tuple[int | None, ...]: ...


@dataclass(frozen=True)
class Mismatch:
    """One view of one transaction. `offline`, `online`: its aggregates, with the age last."""

    cause: Cause
    transaction_id: int | str
    view: str
    key: Key
    asked_at_us: int
    offline: dict[str, int | None]
    online: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "key": list(self.key), "online": {name: _told(v) for name, v in self.online.items()}}


class Comparison:
    def __init__(self, rows: OnlineRows, wanted: FeatureSet) -> None:
        self._rows = rows
        self._wanted = wanted

    def of(self, question: Question, found: tuple[Any, ...]) -> Iterator[Mismatch]:
        """What differs, by view; the store must still be as it was when `found` was read."""
        if found == question.expected and _are_integers(found):
            return
        start, ages = 0, len(found) - len(self._wanted.views)
        for number, view in enumerate(self._wanted.views):
            end = start + len(view.aggregates)
            offline = (*question.expected[start:end], question.expected[ages + number])
            online = (*found[start:end], found[ages + number])
            if online != offline or not _are_integers(online):
                yield self._mismatch(question, view, offline, online)
            start = end

    def _mismatch(
        self, question: Question, view: FeatureView, offline: tuple[int | None, ...], online: tuple[Any, ...]
    ) -> Mismatch:
        key: Any = tuple(question.keys[column] for column in view.keys)
        names = (*view.columns, view.age)
        return Mismatch(
            self._cause(question, view, key, offline, online), question.transaction_id, view.name, key, question.at_us,
            dict(zip(names, offline, strict=True)), dict(zip(names, online, strict=True)),
        )  # fmt: skip

    def _cause(
        self, question: Question, view: FeatureView, key: Any, offline: tuple[int | None, ...], online: tuple[Any, ...]
    ) -> Cause:
        """A row is older or newer by its knowable moment: the moment asked about less its age."""
        expected, age = offline[-1], online[-1]
        if not _are_integers(online):
            return "code"
        if age is None:
            held = None if None in key else self._rows.read([(view_name(view, self._wanted), key)])[0]
            if held is None:
                return "code"
            age = question.at_us - held.known_at_us
            if expected is None or age == expected:
                return "ttl"
            return "late" if age < expected else "stale"
        if expected is None:
            return "ttl" if age > microseconds(view.ttl) else "late"
        is_cut = _is_cut(question.at_us - expected, question.at_us - age) and offline[:-1] == online[:-1]
        if age == expected or is_cut:
            return "type"
        return "stale" if age > expected else "late"


def _is_cut(exact_us: int, found_us: int) -> bool:
    return any(exact_us != found_us == exact_us // unit * unit for unit in _COARSER)


def _are_integers(values: tuple[Any, ...]) -> bool:
    """1.0 and True equal 1 and are not it."""
    return all(value is None or type(value) is int for value in values)


def _told(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else repr(value)
