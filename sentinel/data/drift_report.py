"""One comparison of the data at hand with what the champion was trained on: before training, and at ingestion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sentinel.config import Columns, Validation
from sentinel.data.drift import LEAST_ROWS, Measure, Reference, compare
from sentinel.data.profile import Profile, make_profile
from sentinel.errors import ValidationFailed

WHOLE = "in the whole table"


@dataclass(frozen=True)
class Comparison:
    """`periods`: what was compared, by its name; `note`: in a sentence, what was, or why nothing was."""

    reference: Reference | None
    periods: dict[str, Profile]
    measures: tuple[Measure, ...]
    note: str

    @property
    def shifts(self) -> list[Measure]:
        """One a column and kind: where it strays furthest."""
        found: dict[tuple[str, str], Measure] = {}
        for measure in self.measures:
            key = (measure.column, measure.kind)
            if measure.is_shift and (key not in found or measure.value > found[key].value):
                found[key] = measure
        return list(found.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(shift.sentence for shift in self.shifts)

    @property
    def verdict(self) -> str:
        return "not compared" if not self.measures else "shifted" if self.shifts else "same"

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "note": self.note,
            "reference": self.reference.name if self.reference else None,
            "periods": {name: profile.model_dump(mode="json") for name, profile in self.periods.items()},
            "measures": [asdict(measure) | {"is_shift": measure.is_shift} for measure in self.measures],
            "warnings": list(self.warnings),
        }


def compare_data(
    file: Path, whole: Profile, reference: Reference, columns: Columns, settings: Validation, scratch: Path
) -> Comparison:
    """Compare the whole table, and the rows after the reference's last, with the reference."""
    periods = {WHOLE: whole}
    last = reference.profile.last
    if last is not None and whole.last is not None and whole.last > last:
        newer = make_profile(file, columns, scratch, start=last + timedelta(microseconds=1))
        if LEAST_ROWS <= newer.rows < whole.rows:
            periods[f"since {last:%Y-%m-%d}"] = newer
    measures = [
        measure for period, profile in periods.items() for measure in compare(reference, profile, period, settings)
    ]
    return Comparison(reference, periods, tuple(measures), _note(reference, periods, measures))


def without_reference(whole: Profile, note: str) -> Comparison:
    return Comparison(None, {WHOLE: whole}, (), note)


def refuse_shifts(name: str, found: Comparison, page: Path) -> None:
    """Raise ValidationFailed with every shift, for a config that says validation.on_shift = "stop"."""
    if found.warnings:
        lines = [f"  {number}. {sentence}" for number, sentence in enumerate(found.warnings, start=1)]
        raise ValidationFailed(
            "\n".join([
                f'The data of {name} shifted, and validation.on_shift = "stop":', *lines,
                f"Pictures: {page}\nMend the source and ingest it again; where the data are right, widen the bounds in "
                '[validation], or set on_shift = "warn" to train on them.',
            ])
        )  # fmt: skip


def _note(reference: Reference, periods: dict[str, Profile], measures: Sequence[Measure]) -> str:
    then = reference.profile
    if not measures:
        return (
            f"Nothing was compared: the training data of {reference.name} have {then.rows:,} rows, and fewer than "
            f"{LEAST_ROWS} on one side tell nothing."
        )
    rows = " and ".join(f"{profile.rows:,} {name}" for name, profile in periods.items())
    columns = len({measure.column for measure in measures})
    return (
        f"{columns} columns of the rows at hand ({rows}) were compared with the {then.rows:,} rows that "
        f"{reference.name} was trained on ({then.first:%Y-%m-%d} to {then.last:%Y-%m-%d})."
    )
