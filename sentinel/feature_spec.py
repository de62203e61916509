"""The features as a person writes them: which statistics over which windows of which entity, read from TOML.

The file may hold what breaks the rules of time (`ahead`, `known_after`): a leak can be written down, so that the
audit can be tried on it. No run with such a spec ends in a model.
"""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    ValidationError,
    model_validator,
)

from sentinel.errors import ConfigInvalid

Kind = Literal["spending", "labels"]
Statistic = Literal[
    "count", "amount_sum", "amount_sum_of_squares", "amount_max", "distinct_merchants",
    "label_count", "fraud_count", "first_fraud_at", "last_fraud_at", "last_genuine_at",
    "genuine_amount_sum", "genuine_amount_sum_of_squares", "genuine_amount_max",
]  # fmt: skip

STATISTICS: dict[Kind, tuple[Statistic, ...]] = {
    "spending": ("count", "amount_sum", "amount_sum_of_squares", "amount_max", "distinct_merchants"),
    "labels": (
        "label_count", "fraud_count", "first_fraud_at", "last_fraud_at", "last_genuine_at",
        "genuine_amount_sum", "genuine_amount_sum_of_squares", "genuine_amount_max",
    ),
}  # fmt: skip
# Null where the window holds none of what they are the least or the largest of; all others are a number then.
EXTREMES: tuple[Statistic, ...] = (
    "amount_max", "first_fraud_at", "last_fraud_at", "last_genuine_at", "genuine_amount_max",
)  # fmt: skip
FURTHER = "further"  # stands for every further declared entity that has no table of its own

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = timedelta(days=200 * 365)  # beyond it, times of today minus a window leave the calendar


def _parse_duration(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+)\s*([smhd])", value)):
        seconds = int(match[1]) * _UNITS[match[2]]
        if seconds > _LONGEST.total_seconds():
            raise ValueError(f"a duration is at most {_LONGEST.days}d")
        return timedelta(seconds=seconds)
    if isinstance(value, timedelta):
        return value
    raise ValueError('a duration is a whole number with s, m, h or d behind it, such as "7d"')


def _write_duration(value: timedelta) -> str:
    return f"{int(value.total_seconds())}s"


Duration = Annotated[timedelta, BeforeValidator(_parse_duration), PlainSerializer(_write_duration)]
WindowLength = Annotated[Duration, Field(gt=timedelta(0), le=_LONGEST)]


class Window(BaseModel):
    """`(at - back, at + ahead]`; anything ahead is a leak."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    back: WindowLength
    ahead: Annotated[Duration, Field(le=_LONGEST)] = timedelta(0)

    @model_validator(mode="before")
    @classmethod
    def _from_length(cls, value: Any) -> Any:
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {"back": value}


class ViewSpec(BaseModel):
    """The statistics of one entity and kind, each with its windows. `known_after` the event, instead of when known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: tuple[Window, ...] = ()
    amount_sum: tuple[Window, ...] = ()
    amount_sum_of_squares: tuple[Window, ...] = ()
    amount_max: tuple[Window, ...] = ()
    distinct_merchants: tuple[Window, ...] = ()
    label_count: tuple[Window, ...] = ()
    fraud_count: tuple[Window, ...] = ()
    first_fraud_at: tuple[Window, ...] = ()
    last_fraud_at: tuple[Window, ...] = ()
    last_genuine_at: tuple[Window, ...] = ()
    genuine_amount_sum: tuple[Window, ...] = ()
    genuine_amount_sum_of_squares: tuple[Window, ...] = ()
    genuine_amount_max: tuple[Window, ...] = ()
    known_after: Duration | None = None

    def windows(self, statistic: Statistic) -> tuple[Window, ...]:
        return getattr(self, statistic)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """Those that have a window, in the order of STATISTICS."""
        return tuple(name for names in STATISTICS.values() for name in names if self.windows(name))


class FeatureSpec(RootModel[dict[str, dict[Kind, ViewSpec]]]):
    """Entity -> kind -> statistics."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _statistics_fit_their_kind(self) -> FeatureSpec:
        for entity, kinds in self.root.items():
            for kind, view in kinds.items():
                where = f"[{entity}.{kind}]"
                if not view.statistics:
                    raise ValueError(f"{where} names no statistic; one of {', '.join(STATISTICS[kind])} is needed")
                if wrong := [name for name in view.statistics if name not in STATISTICS[kind]]:
                    raise ValueError(f"{where}: {wrong[0]} is no statistic of {kind} ({', '.join(STATISTICS[kind])})")
                if any(window.ahead for window in view.distinct_merchants):
                    raise ValueError(f"{where}: distinct_merchants takes no window with `ahead`")
                for name in view.statistics:
                    if len(set(view.windows(name))) < len(view.windows(name)):
                        raise ValueError(f"{where}: {name} names a window twice")
        return self

    def views(self, entity: str, *, further: bool) -> dict[Kind, ViewSpec]:
        """What is asked of an entity; a `further` one without a table of its own shares that of all further ones."""
        return self.root.get(entity, self.root.get(FURTHER, {}) if further else {})


DEFAULT_SPEC = Path(__file__).parent / "features" / "features.toml"


def load_spec(file: Path) -> FeatureSpec:
    """Read and check a feature spec. Raises ConfigInvalid with the file, the place and the mend."""
    try:
        return FeatureSpec.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigInvalid(f"There is no feature spec {file}. Give an existing TOML file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"The feature spec {file} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"The feature spec {file} is no valid TOML: {error}.") from error
    except ValidationError as error:
        sentences = [_sentence(file, dict(fault)) for fault in error.errors()]
        raise ConfigInvalid("\n".join(dict.fromkeys(sentences))) from error


def _sentence(file: Path, fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    if fault["type"] == "extra_forbidden":
        return f"{file}: unknown key {place}. Remove it or mend its spelling."
    where = f"{file}: {place} = {fault['input']!r}: " if place else f"{file}: "
    return f"{where}{fault['msg'].removeprefix('Value error, ')}."
