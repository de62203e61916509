"""Whether anything that training fits knew the future: fitted twice by the real functions, with another future.

Rows after the training part must not move vocabularies, fraud rate, bins, scaling and the baseline; rows after the
calibration part must not move calibration and threshold. The audit proves that it would see it: the same functions
are given parts that reach to the end of the table, and then everything must move.
"""

# pyarrow, torch and scikit-learn carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from sentinel.artifacts import FeatureTable, Splits
from sentinel.config import Training
from sentinel.errors import AuditBlind, LeakageFound
from sentinel.training.audit.later_rows import sample_around, with_another_future
from sentinel.training.data.rows import CPU
from sentinel.training.data.source import Source, open_source
from sentinel.training.device.hardware import deterministic
from sentinel.training.device.memory import MemoryWatch
from sentinel.training.device.out_of_memory import out_of_memory_in_a_sentence
from sentinel.training.judging.held_out import calibrate, score_held_out
from sentinel.training.preparation import Prepared, prepare

ROWS, FRAUDS = 1_000, 10  # of the sampled train and calibration rows each, at least
THE_END = "9000-01-01T00:00:00+00:00"

Values = Mapping[str, NDArray[Any]]  # what was fitted, by what a person calls it


@dataclass(frozen=True)
class Moved:
    """Something fitted whose value depends on what came after `cutoff`; its first differing element."""

    name: str
    cutoff: str
    before: str
    after: str


@dataclass(frozen=True)
class PlantedFit:
    name: str
    caught: bool


@dataclass(frozen=True)
class FitsReport:
    rows: int
    checked: tuple[str, ...]
    moved: tuple[Moved, ...]
    planted: tuple[PlantedFit, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentences(self) -> list[str]:
        """Each way in which the audit failed; none when it passed."""
        found: list[str] = []
        if self.moved:
            first = self.moved[0]
            found.append(
                f"What training fits knew the future: {', '.join(moved.name for moved in self.moved)} changed with the "
                f"rows after {first.cutoff[:19]} UTC ({first.name}: {first.before} became {first.after}). Fit it on "
                "its own part alone (sentinel/training/preparation.py)."
            )
        if blind := [planted.name for planted in self.planted if not planted.caught]:
            found.append(
                f"The audit of what training fits is blind: it did not see {', '.join(blind)} in the {self.rows:,} "
                "rows that it looked at, so that it proves nothing. Bring more rows, or have "
                "sentinel/training/audit/fits_audit.py mended."
            )
        return found

    def require_in_time(self) -> None:
        """Raise LeakageFound for what knew the future; AuditBlind when the audit could not have seen it."""
        if sentences := self.sentences():
            raise (LeakageFound if self.moved else AuditBlind)("\n".join(sentences))


def audit_fits(table: FeatureTable, splits: Splits, settings: Training, *, home: Path, seed: int) -> FitsReport:
    """Fit on a sample of the table and on its copies with another future, and compare byte by byte."""
    begun = time.perf_counter()
    source = open_source(table, splits, home)
    sample = sample_around(source.table, source.splits, ROWS, FRAUDS)
    checked: list[str] = []
    moved: list[Moved] = []
    planted: list[PlantedFit] = []
    bounded = MemoryWatch(settings, CPU).refusing()
    with TemporaryDirectory(dir=home, prefix="fits-") as scratch, out_of_memory_in_a_sentence(), bounded, _one_thread():
        original = _stored(source, sample, Path(scratch) / "original.parquet")
        prepared = _prepare(original, settings)
        fits: tuple[tuple[str, Values, Callable[[Source], Values]], ...] = (
            ("train", _values(prepared), lambda source: _values(_prepare(source, settings))),
            (
                "calibration",
                _calibrated(original, prepared, settings),
                lambda source: _calibrated(source, prepared, settings),
            ),
        )
        for part, honest, fitted in fits:
            end: str = source.splits[part]["end"]
            later = with_another_future(sample, source.splits[part], seed)
            changed = _stored(source, later, Path(scratch) / f"{part}.parquet")
            checked += honest
            moved += _moved(honest, fitted(changed), end)
            found = _moved(fitted(_to_the_end(original)), fitted(_to_the_end(changed)), end)
            caught = {each.name for each in found}
            planted += [PlantedFit(f"{name} fitted on all rows", name in caught) for name in honest]
    return FitsReport(sample.num_rows, tuple(checked), tuple(moved), tuple(planted), time.perf_counter() - begun)


@contextmanager
def _one_thread() -> Generator[None]:
    """On rows this few, more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _stored(source: Source, rows: pa.Table, file: Path) -> Source:
    pq.write_table(rows, file)
    return replace(source, table=file)


def _to_the_end(source: Source) -> Source:
    """The planted fault: parts that training fits on reach to the end of the table.

    One view of each kind is enough to see it; more would cost as much as the audit itself.
    """
    reach = {"end": THE_END, "labels_until": THE_END}
    fitted_on = {name: {**source.splits[name], **reach} for name in ("train", "calibration")}
    views = {entry["kind"]: entry["view"] for entry in reversed(source.feature_set["ages"])}.values()
    few = {
        key: [entry for entry in source.feature_set[key] if entry["view"] in views] for key in ("aggregates", "ages")
    }
    return replace(source, splits={**source.splits, **fitted_on}, feature_set={**source.feature_set, **few})


def _prepare(source: Source, settings: Training) -> Prepared:
    """The table lies in a scratch folder, where rows that do not fit the memory may lie too."""
    with deterministic(settings.seed):
        return prepare(source, settings, MemoryWatch(settings, CPU), source.table.parent)


def _values(prepared: Prepared) -> Values:
    """What the training part decided."""
    encoding, baseline = prepared.net.encoding, prepared.baseline
    rows = prepared.rows.take(torch.arange(len(prepared.rows)))
    bins = (encoding.feature, encoding.left, encoding.slope, encoding.missing)
    words = {
        f"the vocabulary of {known.name}": np.array(known.values, np.str_) for known in prepared.inputs.categorical
    }
    return words | {
        "the training rows": np.concatenate([rows.derived.numpy(), rows.labels.numpy()[:, None]], axis=1),
        "the general fraud rate": prepared.net.derived.fraud_rate.numpy(),
        "the bins": np.concatenate([part.numpy().astype(np.float64) for part in bins]),
        "the scaling": torch.cat([baseline.mean, baseline.spread]).numpy(),
        "the logistic baseline": np.append(
            np.append(baseline.model.coef_, baseline.model.intercept_), baseline.correction
        ),
    }


def _calibrated(source: Source, prepared: Prepared, settings: Training) -> Values:
    """What the calibration part decided, for an untrained network: as good as any to see what it is fitted on."""
    table, scores = score_held_out(source, "calibration", prepared, prepared.net)
    threshold = calibrate(prepared.net, scores["network"], table, settings)
    return {
        "the calibration": np.array([float(prepared.net.scale), float(prepared.net.shift)]),
        "the threshold": np.array(threshold.value),
    }


def _moved(before: Values, after: Values, cutoff: str) -> list[Moved]:
    return [
        Moved(name, cutoff, *_first_difference(values, after[name]))
        for name, values in before.items()
        if (values.shape, values.dtype, values.tobytes())
        != (after[name].shape, after[name].dtype, after[name].tobytes())
    ]


def _first_difference(before: NDArray[Any], after: NDArray[Any]) -> tuple[str, str]:
    """Of two arrays, in words: the first element that differs, or the sizes."""
    if before.shape != after.shape:
        return f"{len(before):,} entries", f"{len(after):,}"
    at = next(i for i, (a, b) in enumerate(zip(before.flat, after.flat, strict=True)) if a.tobytes() != b.tobytes())
    return str(before.flat[at]), str(after.flat[at])
