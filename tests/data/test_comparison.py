"""The comparison as a run and an ingestion make it: shown everywhere, stopping only where it must."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import DriftReport, ValidatedData
from sentinel.config import Validation
from sentinel.data.comparison import NoReference, compare_with_champion, inspect_ingested, read_reference
from sentinel.data.domain import undeclared_sentence
from sentinel.data.drift import Reference
from sentinel.data.profile import make_profile
from sentinel.data.validation import DataRejected
from sentinel.errors import ValidationFailed
from sentinel.paths import Paths
from tests.data.test_drift import TRAINED_UNTIL, times
from tests.data.test_validation import COLUMNS, ROOT, SETTINGS, Gate, changing, united_states
from tests.tables import canonical_table

STOP = SETTINGS.model_copy(update={"on_shift": "stop"})


@pytest.fixture(scope="module")
def good() -> pa.Table:
    return canonical_table(3000, with_recorded_at=True)


@pytest.fixture(scope="module")
def reference(good: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    pq.write_table(good, folder / "table.parquet")
    return Reference("champion version 4", make_profile(folder / "table.parquet", COLUMNS, folder, end=TRAINED_UNTIL))


@dataclass(frozen=True)
class Compared:
    """A validation and a comparison in one home."""

    home: Path
    settings: Validation = SETTINGS

    @property
    def site(self) -> Path:
        return self.home / "data_docs" / "shop"

    @property
    def stored(self) -> dict:
        return json.loads((self.home / "stages" / "compare" / "drift.json").read_text())

    def validate(self, table: pa.Table) -> ValidatedData:
        return Gate(self.home, settings=self.settings).judge(table)

    def compare(self, validated: ValidatedData, reference: Reference | NoReference) -> DriftReport:
        return compare_with_champion(
            validated, reference, COLUMNS, self.settings,
            name="shop", paths=Paths(ROOT, self.home), out=self.home / "stages" / "compare",
        )  # fmt: skip


def test_a_shift_warns_in_the_report_the_verdict_the_data_docs_and_the_page(
    good: pa.Table, reference: Reference, tmp_path: Path
) -> None:
    made = Compared(tmp_path)
    report = made.compare(made.validate(times("amount_minor", 3.0)(good)), reference)
    (warning,) = report.warnings
    assert warning.startswith("amount_minor: the values are distributed otherwise")
    assert report.reference == "champion version 4" and "champion version 4 was trained on" in report.note
    assert (made.stored["verdict"], made.stored["warnings"]) == ("shifted", [warning])
    index, page = ((made.site / name).read_text() for name in ("index.html", "drift.html"))
    assert "Shifts: 1" in index and warning in index and 'href="drift.html"' in index
    assert warning in page and page.count("<svg") == 5
    assert "the data hold their contract" in index


def test_a_column_that_is_gone_is_on_the_page(good: pa.Table, reference: Reference, tmp_path: Path) -> None:
    pq.write_table(good.drop_columns("country"), tmp_path / "new.parquet")
    page = tmp_path / "page.html"
    found = inspect_ingested(tmp_path / "new.parquet", reference, COLUMNS, SETTINGS, name="shop", page=page)
    assert found.warnings[0].startswith("country: the column is gone") and "column gone" in page.read_text()


def test_the_page_asks_no_network_and_escapes_what_the_data_hold(
    good: pa.Table, reference: Reference, tmp_path: Path
) -> None:
    made = Compared(tmp_path, settings=Validation())
    made.compare(made.validate(changing("channel", 0, "<script>alert(1)</script>", 600)(good)), reference)
    page = (made.site / "drift.html").read_text()
    assert "<script" not in page and "http" not in page
    assert "&lt;script&gt;" in page


def test_what_passes_does_not_depend_on_the_champion(good: pa.Table, reference: Reference, tmp_path: Path) -> None:
    made = Compared(tmp_path)
    first = made.validate(good)
    assert made.compare(first, reference).warnings == ()
    assert made.validate(good) == first
    nothing = made.compare(first, read_reference(None, None))
    assert (nothing.reference, nothing.warnings, made.stored["verdict"]) == (None, (), "not compared")


def test_an_older_release_has_nothing_to_compare_with_and_says_so(good: pa.Table, tmp_path: Path) -> None:
    made = Compared(tmp_path)
    report = made.compare(made.validate(good), read_reference("2", None))
    assert "version 2 holds no profile" in report.note
    assert report.note in (made.site / "index.html").read_text()


def test_a_shift_stops_where_the_configuration_says_so(good: pa.Table, reference: Reference, tmp_path: Path) -> None:
    made = Compared(tmp_path, settings=STOP)
    with pytest.raises(ValidationFailed, match=r"1\. amount_minor: .*\n.*drift\.html") as caught:
        made.compare(made.validate(times("amount_minor", 3.0)(good)), reference)
    assert 'on_shift = "warn"' in str(caught.value)
    assert "shifted" in (made.site / "drift.html").read_text()
    made.compare(made.validate(good), reference)


def test_the_data_docs_keep_the_pages_of_earlier_validations(good: pa.Table, tmp_path: Path) -> None:
    made = Compared(tmp_path)
    with pytest.raises(DataRejected):
        made.validate(united_states(good))
    made.validate(good)
    assert len(list((made.site / "validations").rglob("*.html"))) == 2
    index = (made.site / "index.html").read_text()
    (earlier,) = re.findall(r'<li><a href="([^"]+)">[^<]+</a>: 3,000 rows, failed</li>', index)
    assert "United States" in (made.site / earlier).read_text()


def test_a_renamed_category_is_told_with_what_the_champion_knew(
    good: pa.Table, reference: Reference, tmp_path: Path
) -> None:
    rows = good.column("country").to_pylist().count("US")
    share = reference.profile.categories["country"].shares["US"]
    expected = (
        f"country holds 'United States' in {rows} rows, which is not in the declared domain DE, FR, GB, NL, US; "
        f"champion version 4 was trained with 'US' ({share:.0%} of the rows), which has disappeared: it looks like a "
        "renaming. Mend the source, or declare the value in [validation.categories]"
    )
    with pytest.raises(DataRejected) as caught:
        Gate(tmp_path).judge(united_states(good), reference)
    assert caught.value.failures[0].sentence == expected
    pq.write_table(united_states(good), tmp_path / "new.parquet")
    with pytest.raises(ValidationFailed) as caught_early:
        inspect_ingested(
            tmp_path / "new.parquet", reference, COLUMNS, SETTINGS, name="shop", page=tmp_path / "page.html"
        )
    assert expected in str(caught_early.value) and "nothing was replaced" in str(caught_early.value)


@pytest.mark.parametrize(
    ("values", "known", "sentence"),
    [
        (("DE", "US", "XX"), True, "; champion version 4 was never trained with it. Mend"),
        (("DE", "US", "XX"), False, "domain DE, US. Mend"),
        (("DE", "XX", "YY"), False, "; 'US', declared, does not occur: perhaps it is what was renamed. Mend"),
        (("DE", "US"), True, None),
    ],
)
def test_what_became_of_a_value_is_only_said_where_it_is_known(
    values: tuple[str, ...], known: bool, sentence: str | None, reference: Reference
) -> None:
    shares = reference.profile.categories["country"].model_copy(update={"shares": {"DE": 0.9, "US": 0.1}})
    profile = reference.profile.model_copy(update={"categories": {"country": shares}})
    counts = [(value, 10) for value in values]
    said = undeclared_sentence("country", counts, ("DE", "US"), replace(reference, profile=profile) if known else None)
    assert said is None if sentence is None else sentence in (said or "")


def test_many_undeclared_values_are_summed_up(reference: Reference) -> None:
    said = undeclared_sentence("country", [(f"X{number}", 9) for number in range(6)], ("DE",), None)
    assert said is not None
    assert "'X0' in 9 rows, 'X1' in 9 rows, 'X2' in 9 rows and 3 more values in 27 rows, which are not in" in said


def test_new_data_that_shifted_are_shown_or_refused_at_ingestion(
    good: pa.Table, reference: Reference, tmp_path: Path
) -> None:
    file, page = tmp_path / "new.parquet", tmp_path / "page.html"
    pq.write_table(times("amount_minor", 3.0)(good), file)
    found = inspect_ingested(file, reference, COLUMNS, SETTINGS, name="shop", page=page)
    assert len(found.warnings) == 1 and found.warnings[0] in page.read_text()
    with pytest.raises(ValidationFailed, match="shifted"):
        inspect_ingested(file, reference, COLUMNS, STOP, name="shop", page=page)
    pq.write_table(good, file)
    assert inspect_ingested(file, reference, COLUMNS, STOP, name="shop", page=page).warnings == ()
    assert not list(tmp_path.glob(".*"))
