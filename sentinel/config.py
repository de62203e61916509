"""The configuration: one typed tree, read from one TOML file, checked before anything starts.

A stage is handed the section it needs, never the tree. An error names the file, the line and the mend.
"""

from __future__ import annotations

import re
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from sentinel.errors import ConfigInvalid
from sentinel.feature_spec import DEFAULT_SPEC, STATISTICS, Duration, FeatureSpec, load_spec

Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python takes true for 1, which as a learning rate or a number of trees is nobody's wish."""
        if isinstance(value, bool) and cls.model_fields[cast(str, info.field_name)].annotation is not bool:
            raise ValueError("true and false are no values of this key")
        return value


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
    entities: dict[str, Column] = {}  # further keys; `device` becomes the contract column device_id
    recorded_at: Column | None = None
    label_available_at: Column | None = None
    numeric: dict[str, Column] = {}
    categorical: dict[str, Column] = {}

    @property
    def entity_keys(self) -> dict[str, Column]:
        """The further entities by their contract column."""
        return {f"{entity}_id": column for entity, column in self.entities.items()}

    @model_validator(mode="after")
    def _declared_names_are_free(self) -> Self:
        for name, column in self.entities.items():
            if f"{name}_id" in TAKEN or name in ("transaction", "further", "customer_merchant"):
                raise ValueError(f"the further entity {name!r} has a name that is taken; choose another")
            if column.optional:
                raise ValueError(f"the further entity {name!r} cannot be optional: features are kept by it")
        for name in [*self.numeric, *self.categorical, *self.entities]:
            known = (*TAKEN, *self.entity_keys)
            if name in known or _COMPUTED.fullmatch(name) or (name in self.numeric and name in self.categorical):
                raise ValueError(f"the declared column {name!r} has a name that is taken; choose another")
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"the declared column {name!r} must be lower case letters, digits and _")
        return self


class LabelWords(Section):
    """The source's words for a label, compared as text without case and outer blanks; null is unknown."""

    fraud: tuple[str, ...] = ("1", "true")
    genuine: tuple[str, ...] = ("0", "false")
    unknown: tuple[str, ...] = ("",)


class Clock(Section):
    """Times written as numbers: how many of `unit`, whole or not, since `origin`."""

    unit: Literal["us", "ms", "s", "m", "h", "d"]
    origin: AwareDatetime

    @field_validator("origin", mode="wrap")
    @classmethod
    def _is_a_moment(cls, value: Any, read: ValidatorFunctionWrapHandler) -> datetime:
        try:
            return read(None if isinstance(value, (int, float)) else value)
        except ValidationError:
            raise ValueError('the origin is a moment with its zone, such as "2023-01-01T00:00:00Z"') from None


class Source(Section):
    """How the source writes time, money, labels and what is missing. Text alone has separators and signs."""

    time_zone: str = "UTC"  # of timestamps that carry none
    clock: Clock | None = None  # of times that are numbers
    time_format: str | None = None  # of times as text, beside ISO 8601: "%d.%m.%Y %H:%M:%S"; it reads no zones
    amount_unit: Literal["major", "minor"] = "major"
    minor_digits: Annotated[int, Field(ge=0, le=4)] = 2  # a major unit has 10**minor_digits minor ones
    decimal_separator: Literal[".", ","] = "."
    thousands_separator: Literal["", ".", ",", " ", "'"] = ""  # a blank may be a narrow or unbreakable one
    currency_signs: tuple[
        Annotated[str, Field(pattern=r"^\D*[^\d\s.,'+()-]\D*$")], ...
    ] = ()  # may stand before or behind an amount
    labels: LabelWords = LabelWords()
    missing_words: tuple[str, ...] = ()  # stand for no value in any column but the label
    max_quarantined_fraction: Fraction = 0.01

    @model_validator(mode="after")
    def _separators_differ(self) -> Self:
        if self.decimal_separator == self.thousands_separator:
            raise ValueError(
                f"decimal_separator and thousands_separator are both {self.decimal_separator!r}; change one of them"
            )
        return self


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
    # against the data that the champion was trained on; a shift is a warning, or stops
    on_shift: Literal["warn", "stop"] = "warn"
    max_distribution_shift: Fraction = 0.1  # Kolmogorov-Smirnov distance; of categories and hours the share that moved
    max_mean_shift: Annotated[float, Field(gt=0)] = 2.0  # in standard deviations
    max_null_shift: Fraction = 0.05  # between the shares of missing values


def _read_spec(value: Any, info: ValidationInfo) -> Any:
    """A file name is taken from the folder of the config."""
    if not isinstance(value, str):
        return value
    try:
        folder: Path = cast("dict[str, Path]", info.context or {}).get("folder", Path())
        return load_spec(folder / value)
    except ConfigInvalid as error:
        raise ValueError(str(error).removesuffix(".")) from error


class Spark(Section):
    """Where Spark runs. On a cluster SENTINEL_HOME must be a folder that all of its machines share."""

    master: Annotated[str, Field(pattern=r"^(local(-cluster)?(\[.+\])?|yarn|(spark|k8s)://.+)$")] = "local[*]"
    settings: dict[Annotated[str, Field(pattern=r"^spark\.")], str] = {}  # Spark's own, such as spark.executor.memory


class Features(Section):
    """The aggregates (sentinel/features/features.toml, or an own file of that kind) and their time rules."""

    spec: Annotated[FeatureSpec, BeforeValidator(_read_spec)] = Field(default_factory=lambda: load_spec(DEFAULT_SPEC))
    ingestion_lag: Duration = timedelta(seconds=1)
    label_delay: Duration = timedelta(days=7)  # when label_available_at is not mapped
    engine: Literal["duckdb", "spark"] = "duckdb"  # what computes them; the values are the same
    spark: Spark = Spark()

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
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7  # as far as every library's generator takes it
    epochs: Annotated[int, Field(ge=1)] = 12
    patience: Annotated[int, Field(ge=1)] = 4
    batch_size: Annotated[int, Field(ge=2)] = 1024  # rows a step, over all devices; memory never changes it
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    width: Annotated[int, Field(ge=8)] = 384
    layers: Annotated[int, Field(ge=1)] = 2
    bins: Annotated[int, Field(ge=2)] = 48  # of the piecewise-linear encoding, at most, an input
    trees: Annotated[int, Field(ge=0)] = 300  # of the forest that the network is averaged with; 0: none
    tree_depth: Annotated[int, Field(ge=1, le=8)] = 4
    tree_learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    genuine_per_fraud: Annotated[int, Field(ge=1)] = 20  # drawn anew each epoch; the scores are corrected for it
    # One budget, kept on the calibration part, sets the threshold; none written: a false-positive rate of 0.01.
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    alerts_a_day: Annotated[int, Field(ge=1)] | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"  # processes, one a device; auto: every GPU, one CPU
    compile: Literal["auto", "on", "off"] = "auto"  # auto: where a measurement at the start says that it pays
    deterministic: bool = True
    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)?(MB|GB)$")] | None = None  # of the host; None: all of it
    device_memory_fraction: Annotated[float, Field(gt=0, le=1)] = 0.9
    pause_above_celsius: Annotated[int, Field(ge=30)] = 88  # a GPU hotter than this rests
    max_skipped_steps: Annotated[int, Field(ge=0)] = 20  # whose loss or gradient was not finite

    @model_validator(mode="before")
    @classmethod
    def _with_a_budget(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        written = cast("dict[str, Any]", value)
        if written.get("false_positive_rate") is None and written.get("alerts_a_day") is None:
            return {**written, "false_positive_rate": 0.01}
        return written

    @field_validator("alerts_a_day")
    @classmethod
    def _is_the_only_budget(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and (rate := info.data.get("false_positive_rate")) is not None:
            raise ValueError(
                f"the threshold keeps one budget, and false_positive_rate = {rate} is written, too; remove one of them"
            )
        return value


class Export(Section):
    calibration_rows: Annotated[int, Field(ge=100)] = 4096  # of the calibration set, for INT8 ranges


Megabytes = Annotated[float, Field(gt=0)]
# Why a gate may have nothing to ask.
GateCase = Literal["no_champion", "no_merchant_labels", "no_risky_merchant", "no_large_slice"]


class Gates(Section):
    """What a candidate must reach. A measurement that is missing fails its gate.

    So does a gate that has nothing to ask, unless `not_applicable` lists the case. By default it has what is normal: a
    first run has no champion, some tables have no merchants, and small ones no slice that could be judged.
    """

    not_applicable: tuple[GateCase, ...] = ("no_champion", "no_merchant_labels", "no_large_slice")
    min_pr_auc: Fraction
    min_recall: Fraction = 0.2  # at the threshold
    min_gain_over_logistic: float = 0.01  # of pr_auc
    min_gain_over_constant: float = 0.05  # of pr_auc; a constant's is the share of frauds
    max_loss_to_champion: Fraction = 0.01  # of pr_auc, on the same test rows
    min_frauds_to_compare: Annotated[int, Field(ge=1)] = 50  # with the champion; fewer, and a reviewer decides
    max_calibration_error: Fraction = 0.005
    max_slice_loss: Fraction = 0.05  # of pr_auc, to the champion, or to the logistic baseline where there is none
    min_slice_rows: Annotated[int, Field(ge=1)] = 1000
    min_slice_frauds: Annotated[int, Field(ge=1)] = 100
    max_golden_kl: Annotated[float, Field(gt=0)] = 0.1  # nats a question, from the champion's answer
    max_fall_with_amount: Fraction = 0.25  # of a score at a risky merchant, or of the threshold where that is more
    max_parity_difference: Annotated[float, Field(gt=0)] = 1e-5
    max_variant_pr_auc_loss: Fraction = 0.002
    max_variant_flips: Fraction = 0.0001  # of the test rows, at the threshold
    max_variant_batch_shift: Fraction = 0.0001  # of a score, by the transactions that are asked about beside it
    max_latency_p99_ms: Annotated[float, Field(gt=0)] = 12.0
    max_memory_mb: Megabytes = 512.0  # of the process that answers
    max_size_mb: Megabytes = 100.0  # of the graph


class Promotion(Section):
    """Who decides: `manual` asks a reviewer about every version; a gate that cannot tell asks one in any case."""

    review: Literal["auto", "manual"] = "auto"
    self_approval: bool = True  # whether the author of a run may approve its version
    review_expires_after: Duration = timedelta(days=14)  # without an answer; then the job must run again
    review_check_seconds: Annotated[int, Field(ge=5)] = 300  # between two looks for answers where no webhook tells

    @model_validator(mode="after")
    def _there_is_time_to_answer(self) -> Self:
        if self.review_expires_after <= timedelta(0):
            raise ValueError("review_expires_after must be longer than 0: a reviewer needs time to answer")
        return self


class Release(Section):
    """Where releases are published beside MLflow's artifacts: S3 when `s3` is there."""

    s3: S3Remote | None = None


class Services(Section):
    """Servers used instead of the embedded ones; the usual environment variables win over these."""

    mlflow_tracking_uri: str | None = None
    prefect_api_url: str | None = None
    redis_url: str | None = None
    # of the MLflow server: its writers then share one lock, on whatever machine they are
    registry_database_url: Annotated[str | None, Field(pattern=r"^postgresql(\+psycopg2)?://")] = None


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
    release: Release = Release()
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
_UNION_MEMBER = re.compile(r"constrained-|literal\[")  # what pydantic calls a part of "a number, or auto"
_COMPUTED = re.compile(
    rf".+_(({'|'.join(name for names in STATISTICS.values() for name in names)})_\d+[smhd]"
    rf"|({'|'.join(STATISTICS)})_(age|known_at)_us)"
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
        return Config.model_validate({**tree, "file": file, "lines": lines}, context={"folder": file.parent})
    except ValidationError as error:
        sentences = [_sentence(file, lines, dict(fault)) for fault in error.errors()]
        raise ConfigInvalid("\n".join(sentences)) from error


def _sentence(file: Path, lines: dict[str, int], fault: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in fault["loc"] if not _UNION_MEMBER.match(str(part)))
    place = _where(file, lines, key)
    if fault["type"] == "missing" and key in lines:
        return f"{place}: {key} is not decided yet. Write it in place of the question mark, and remove the #."
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
    """The line of each table and key, by dotted path (one key a line, as the project's configs are written).

    A key that waits for an answer, `# key = "?"`, has a line too.
    """
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\s*([\w.\"-]+)\s*\]", line):
            table = match[1].replace('"', "")
            found[table] = number
        elif match := re.match(r"\s*([\w.\"-]+)\s*=", line) or re.match(r'\s*#\s*(\w+)\s*=\s*"\?"', line):
            found[".".join(filter(None, (table, match[1].replace('"', ""))))] = number
    return found
