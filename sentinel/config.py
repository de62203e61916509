"""The configuration: one typed tree, read from one TOML file, checked before anything starts.

A stage is handed the section it needs, never the tree. An error names the file, the line and the mend.
"""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from sentinel.errors import ConfigInvalid

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _parse_duration(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+)\s*([smhd])", value)):
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError('a duration is a whole number with s, m, h or d behind it, such as "7d"')


def _write_duration(value: timedelta) -> str:
    return f"{int(value.total_seconds())}s"


Duration = Annotated[timedelta, BeforeValidator(_parse_duration), PlainSerializer(_write_duration)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Column(Section):
    """Where a contract column comes from. `use = "slice"`: kept for reports, never a model input."""

    source: str
    optional: bool = False
    use: Literal["input", "slice"] = "input"

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value


class Columns(Section):
    """The contract's columns, each with the source column it is read from."""

    transaction_id: Column
    event_timestamp: Column
    customer_id: Column
    amount: Column
    is_fraud: Column
    merchant_id: Column | None = None
    recorded_at: Column | None = None
    label_available_at: Column | None = None
    numeric: dict[str, Column] = {}
    categorical: dict[str, Column] = {}

    @model_validator(mode="after")
    def _declared_names_are_free(self) -> Self:
        for name in [*self.numeric, *self.categorical]:
            if name in TAKEN or _COMPUTED.fullmatch(name) or (name in self.numeric and name in self.categorical):
                raise ValueError(f"the declared column {name!r} has a name that is taken; choose another")
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"the declared column {name!r} must be lower case letters, digits and _")
        return self


class LabelWords(Section):
    """The source's words for a label, compared as text without case and outer blanks; null is unknown."""

    fraud: tuple[str, ...] = ("1", "true")
    genuine: tuple[str, ...] = ("0", "false")
    unknown: tuple[str, ...] = ("",)


class Source(Section):
    """How the source writes time, money and labels."""

    time_zone: str = "UTC"  # of timestamps that carry none
    amount_unit: Literal["major", "minor"] = "major"
    minor_digits: Annotated[int, Field(ge=0, le=4)] = 2  # a major unit has 10**minor_digits minor ones
    labels: LabelWords = LabelWords()
    max_quarantined_fraction: Fraction = 0.01


class Simulation(Section):
    """What fills the embedded remote when it is empty."""

    transactions: Annotated[int, Field(ge=1000)]
    seed: Annotated[int, Field(ge=0)]


class S3Remote(Section):
    """Credentials come from the usual AWS environment."""

    url: Annotated[str, Field(pattern=r"^s3://[^/]+(/.*)?$")]
    endpoint_url: str | None = None
    region: str | None = None


class Data(Section):
    """Where versions of the data are kept: the embedded local folder, or S3 when `s3` is there."""

    s3: S3Remote | None = None
    simulation: Simulation | None = None


class Validation(Section):
    """Bounds of the data contract that only the data's owner knows."""

    min_rows: Annotated[int, Field(ge=1)] = 1000
    min_fraud_rate: Fraction = 0.0001
    max_fraud_rate: Fraction = 0.2
    max_amount_minor: Annotated[int, Field(gt=0)] = 100_000_000
    categories: dict[str, tuple[str, ...]] = {}  # known values of declared categorical columns
    max_nonpositive_fraction: Fraction = 0.1  # of the amounts: refunds and checks of a card
    min_labelled_fraction: Fraction = 0.9  # of the transactions older than the label maturity
    max_empty_days_fraction: Fraction = 0.1  # of the days between the first and the last transaction
    max_null_fraction: Fraction = 0.5  # of a declared input; more is a warning


class Features(Section):
    """Time rules of the aggregates; the features themselves stand in sentinel/features/spec.py."""

    ingestion_lag: Duration = timedelta(seconds=1)
    label_delay: Duration = timedelta(days=7)  # when label_available_at is not mapped

    @model_validator(mode="after")
    def _lag_is_positive(self) -> Self:
        if self.ingestion_lag <= timedelta(0):
            raise ValueError("ingestion_lag must be longer than 0: a transaction never sees itself")
        return self


class SplitTimes(Section):
    """Lengths of the parts, counted back from the last transaction whose label is mature."""

    history: Duration = timedelta(days=30)  # only feeds aggregates
    validation: Duration = timedelta(days=7)
    calibration: Duration = timedelta(days=7)
    test: Duration = timedelta(days=14)
    label_maturity: Duration = timedelta(days=7)
    unlabelled_is_genuine: bool = True


class Training(Section):
    seed: Annotated[int, Field(ge=0)] = 7
    epochs: Annotated[int, Field(ge=1)] = 12
    patience: Annotated[int, Field(ge=1)] = 4
    batch_size: Annotated[int, Field(ge=2)] = 1024
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    width: Annotated[int, Field(ge=8)] = 384
    layers: Annotated[int, Field(ge=1)] = 2
    bins: Annotated[int, Field(ge=2)] = 48  # of the piecewise-linear encoding, at most, an input
    genuine_per_fraud: Annotated[int, Field(ge=1)] = 20  # drawn anew each epoch; the scores are corrected for it
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01  # on the calibration part; sets the threshold
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Export(Section):
    calibration_rows: Annotated[int, Field(ge=100)] = 4096  # of the calibration set, for INT8 ranges


class Gates(Section):
    """What a candidate must reach. A measurement that is missing fails its gate."""

    min_pr_auc: Fraction
    min_gain_over_logistic: float = 0.0
    max_loss_to_champion: Fraction = 0.005  # of pr_auc, on the same test rows
    max_calibration_error: Fraction = 0.02
    max_parity_difference: Annotated[float, Field(gt=0)] = 1e-5
    max_variant_pr_auc_loss: Fraction = 0.002
    max_variant_flips: Fraction = 0.001  # of the test rows, at the threshold
    max_latency_p99_ms: Annotated[float, Field(gt=0)] = 12.0


class Promotion(Section):
    review: Literal["auto", "manual"] = "auto"


class Services(Section):
    """Servers used instead of the embedded ones; the usual environment variables win over these."""

    mlflow_tracking_uri: str | None = None
    prefect_api_url: str | None = None
    redis_url: str | None = None


class Schedule(Section):
    cron: str = "0 2 * * *"
    time_zone: str = "UTC"


class Config(Section):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
    columns: Columns
    gates: Gates
    source: Source = Source()
    data: Data = Data()
    validation: Validation = Validation()
    features: Features = Features()
    splits: SplitTimes = SplitTimes()
    training: Training = Training()
    export: Export = Export()
    promotion: Promotion = Promotion()
    services: Services = Services()
    schedule: Schedule = Schedule()
    file: Path = Field(exclude=True)
    lines: dict[str, int] = Field(exclude=True)  # of every key, by its dotted path

    def where(self, key: str) -> str:
        """`file:line` of a dotted key, or of its nearest written ancestor."""
        return _where(self.file, self.lines, key)


CONTRACT = (
    "transaction_id", "event_timestamp", "recorded_at", "customer_id", "merchant_id",
    "amount_minor", "is_fraud", "label_available_at",
)  # fmt: skip

# Declared columns stand beside the aggregates and ages of features.parquet, and in scores.parquet.
TAKEN = (*CONTRACT, "split", "probability", "logistic")
_COMPUTED = re.compile(
    r"(customer|merchant)_((count|amount_sum|amount_sum_of_squares|amount_max|label_count|fraud_count)_\d+[smhd]"
    r"|(spending|labels)_(age|known_at)_us)"
)


def load_config(file: Path) -> Config:
    """Read and check one TOML file. Raises ConfigInvalid with file, line and what is expected."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigInvalid(f"There is no configuration {file}. Give an existing TOML file with --config.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"The configuration {file} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"The configuration {file} is no valid TOML: {error}.") from error
    lines = _lines(text)
    for taken in ("file", "lines"):
        if taken in tree:
            raise ConfigInvalid(f"{_where(file, lines, taken)}: unknown key {taken!r}. Remove it.")
    try:
        return Config.model_validate({**tree, "file": file, "lines": lines})
    except ValidationError as error:
        sentences = [_sentence(file, lines, dict(fault)) for fault in error.errors()]
        raise ConfigInvalid("\n".join(sentences)) from error


def _sentence(file: Path, lines: dict[str, int], fault: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    place = _where(file, lines, key)
    if fault["type"] == "missing":
        return f"{place}: {key} is missing. Add it."
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key {key}. Remove it or mend its spelling."
    return f"{place}: {key} = {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}."


def _where(file: Path, lines: dict[str, int], key: str) -> str:
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return f"{file}:{lines[key]}" if key else str(file)


def _lines(text: str) -> dict[str, int]:
    """The line of each table and key, by dotted path (one key a line, as the project's configs are written)."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\s*([\w.\"-]+)\s*\]", line):
            table = match[1].replace('"', "")
            found[table] = number
        elif match := re.match(r"\s*([\w.\"-]+)\s*=", line):
            found[".".join(filter(None, (table, match[1].replace('"', ""))))] = number
    return found
