"""From a bank's files to the column contract: transactions.parquet, and quarantine.parquet for what breaks it.

The result depends on the rows alone: not on their order, on how they are spread over files, or on the machine.
The source is only read. What `out` held before stays whole unless everything succeeded.
"""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.config import Columns, LabelWords, Source
from sentinel.data.contract import ContractColumn, Where, canonical_schema, contract_columns, present_columns
from sentinel.data.quarantine import write_quarantine
from sentinel.data.source_files import SourceFile, find_source_files
from sentinel.data.staging import Staging
from sentinel.data.table_files import write_table_file
from sentinel.errors import ConfigInvalid, DataContractError, DiskFull
from sentinel.progress import Progress, silent
from sentinel.storage import complete_file, complete_folder, require_free_disk

TRANSACTIONS = "transactions.parquet"
QUARANTINE = "quarantine.parquet"
BYTES_NEEDED_PER_SOURCE_BYTE = 8  # the staging database, what the sort spills, and the result
SHARE_OF_READING = 0.75  # of the time, for the progress
MENDS = {  # what a refusal says of a reason
    "amount_not_a_number": "Separators and currency signs stand in [source]: decimal_separator, thousands_separator, "
    "currency_signs; words for a missing value in missing_words.",
    "amount_ambiguous": "Such an amount could be thousands in the other way of writing; where three decimals are "
    "right, say so with source.minor_digits = 3.",
    "amount_not_whole": 'The amounts have decimals: source.amount_unit = "major"?',
    "unknown_label": "The words of a label stand in [source.labels].",
    "unparsable_time": "Times that are numbers need a [source.clock] with unit and origin, and times that are not "
    "written as 2025-12-31 23:59:59 need source.time_format.",
    "impossible_time": "A time must lie between 1990 and 2100 and, where a label became known, not before its "
    "transaction: is the time zone, or the unit and origin of [source.clock], right?",
    "null_key": "Where a key may be missing, it is no key: declare the column in [columns.categorical] instead.",
}


@dataclass(frozen=True)
class Ingested:
    """`quarantined`: rows by reason."""

    folder: Path
    source_rows: int
    rows: int
    frauds: int
    quarantined: dict[str, int]


@dataclass(frozen=True)
class Faults:
    """`counts`: rows by "reason|detail"."""

    counts: dict[str, int]
    rows: int

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def by_reason(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for fault, count in self.counts.items():
            reason = fault.partition("|")[0]
            found[reason] = found.get(reason, 0) + count
        return found


def ingest(
    sources: Sequence[Path],
    columns: Columns,
    source: Source,
    out: Path,
    *,
    where: Where,
    rejected: Path | None = None,
    inspect: Callable[[Path], None] | None = None,
    progress: Progress = silent,
) -> Ingested:
    """Write the folder `out`. `where` gives file and line of a config key, for messages.

    `inspect` is shown the new table before anything is replaced, and refuses it by raising.

    Raises DataContractError when the source lacks a column, cannot be read, or more than
    `source.max_quarantined_fraction` of its rows break the contract; then these rows are kept in the file `rejected`
    (beside `out` when not given).
    """
    rejected = rejected or out.with_name(f"{out.name}.rejected.parquet")
    _refuse_ambiguous_words(source.labels, where)
    files = find_source_files(sources)
    _refuse_to_overwrite(out, files)
    wanted = present_columns(contract_columns(columns), files, where)
    require_free_disk(out.parent, BYTES_NEEDED_PER_SOURCE_BYTE * sum(file.path.stat().st_size for file in files))
    with complete_folder(out) as folder:
        work = folder / "work"
        work.mkdir()
        with _full_disk_of_duckdb(out), Staging(work, wanted, source) as staging:
            _require_zone(staging, source, where)
            _require_time_format(staging, source, where)
            faults = _stage(staging, files, wanted, progress)
            if faults.total / faults.rows > source.max_quarantined_fraction:
                with complete_file(rejected) as temporary:
                    write_quarantine(temporary, files, staging)
                raise DataContractError(_refusal(faults, source, rejected, wanted, where))
            ingested = _write(folder, staging, files, wanted, faults, progress)
        shutil.rmtree(work)
        if inspect:
            inspect(folder / TRANSACTIONS)
    rejected.unlink(missing_ok=True)  # of an earlier refusal
    return Ingested(out, faults.rows, *ingested, faults.by_reason())


def _stage(
    staging: Staging, files: Sequence[SourceFile], wanted: Sequence[ContractColumn], progress: Progress
) -> Faults:
    """Read every file and find what breaks the contract."""
    sizes = [file.path.stat().st_size for file in files]
    for number, file in enumerate(files):
        needed = [index for index, name in enumerate(file.columns) if any(one.source == name for one in wanted)]
        advance = _advance(progress, sum(sizes[:number]), sizes[number], sum(sizes), f"reading {file.name}")
        advance(0.0)
        for table in file.tables(needed, advance):
            staging.add(number, file, table)
    rows = staging.rows()
    if not rows:
        listed = ", ".join(str(file.path) for file in files[:3]) + (", …" if len(files) > 3 else "")
        raise DataContractError(f"The source has columns, but no rows: {listed}. Nothing was replaced.")
    staging.mark_duplicates()
    return Faults(staging.faults(), rows)


def _advance(progress: Progress, before: int, size: int, total: int, doing: str) -> Callable[[float], None]:
    def advance(share: float) -> None:
        progress(SHARE_OF_READING * (before + size * share) / total, 1.0, doing)

    return advance


def _write(
    folder: Path,
    staging: Staging,
    files: Sequence[SourceFile],
    wanted: Sequence[ContractColumn],
    faults: Faults,
    progress: Progress,
) -> tuple[int, int]:
    """Write both files. Returns kept rows and frauds."""
    kept = faults.rows - faults.total
    if not kept:
        raise DataContractError("Every row of the source breaks the contract: nothing is left. Nothing was replaced.")
    integer_ids = staging.integer_ids()

    def tables() -> Iterator[pa.Table]:
        done = 0
        for table in staging.contract_tables(integer_ids):
            yield table
            done += table.num_rows
            progress(SHARE_OF_READING + (1 - SHARE_OF_READING) * done / kept, 1.0, "sorting and writing")

    progress(SHARE_OF_READING, 1.0, "sorting and writing")
    rows = write_table_file(folder / TRANSACTIONS, canonical_schema(wanted, integer_ids), tables())
    quarantined = write_quarantine(folder / QUARANTINE, files, staging)
    if (rows, quarantined) != (kept, faults.total):
        raise DataContractError(
            f"The source changed while it was read: {rows:,} rows kept and {quarantined:,} quarantined, "
            f"{kept:,} and {faults.total:,} counted. Nothing was replaced. Ingest it again when nothing writes to it."
        )
    return rows, staging.frauds()


def _refusal(faults: Faults, source: Source, rejected: Path, wanted: Sequence[ContractColumn], where: Where) -> str:
    key = "source.max_quarantined_fraction"
    listed = "; ".join(
        f"{count:,} {fault.replace('|', ' ').strip()}{_example(fault, rejected, wanted)}"
        for fault, count in faults.counts.items()
    )
    return (
        f"{faults.total:,} of {faults.rows:,} rows ({faults.total / faults.rows:.2%}) break the contract, and {key} "
        f"({where(key)}) allows {source.max_quarantined_fraction:.2%}: {listed}. Nothing was replaced. "
        f"Every such row is in {rejected} with its reason and source line: mend the source, or the configuration. "
        f"{_mends(faults)}"
    ).rstrip()


def _mends(faults: Faults) -> str:
    return " ".join(MENDS[reason] for reason in faults.by_reason() if reason in MENDS)


def _example(fault: str, rejected: Path, wanted: Sequence[ContractColumn]) -> str:
    """The first such value with its place, so that a wrong word or unit is seen at once."""
    reason, _, detail = fault.partition("|")
    column = next((one.source for one in wanted if one.name == detail), "source_text")
    table = pq.read_table(rejected, filters=[("reason", "=", reason), *([("detail", "=", detail)] if detail else [])])
    if not table.num_rows:
        return ""
    first = table.slice(0, 1).to_pylist()[0]
    value = first.get(column, first.get(f"source_{column}"))
    shown = "nothing" if value is None else repr(value[:60])
    return f" (first: {shown} in {first['source_file']}, line {first['source_line']})"


def _refuse_ambiguous_words(words: LabelWords, where: Where) -> None:
    seen: dict[str, str] = {}
    for meaning, listed in (("fraud", words.fraud), ("genuine", words.genuine), ("unknown", words.unknown)):
        for word in listed:
            earlier = seen.setdefault(word.strip().lower(), meaning)
            if earlier != meaning:
                key = f"source.labels.{meaning}"
                raise ConfigInvalid(
                    f"{where(key)}: the label word {word!r} means {earlier} and {meaning}. Remove one of the two."
                )


def _refuse_to_overwrite(out: Path, files: Sequence[SourceFile]) -> None:
    """`out` is replaced as a whole: it must not hold the source or anything that ingestion did not write."""
    folder = out.resolve()
    for file in files:
        if file.path.is_relative_to(folder):
            raise ConfigInvalid(
                f"The source {file.path} lies in {out}, which ingestion replaces. Choose another --out."
            )
    if out.exists() and not out.is_dir():
        raise ConfigInvalid(f"{out} is a file, and ingestion writes a folder. Choose another --out.")
    others = (
        sorted(path.name for path in out.iterdir() if path.name not in (TRANSACTIONS, QUARANTINE))
        if out.exists()
        else []
    )
    if others:
        raise ConfigInvalid(
            f"The folder {out} holds {others[0]!r}, and ingestion replaces the whole folder. Choose another --out."
        )


def _require_zone(staging: Staging, source: Source, where: Where) -> None:
    if not staging.knows_zone(source.time_zone):
        key = "source.time_zone"
        raise ConfigInvalid(
            f'{where(key)}: {key} = "{source.time_zone}" is no time zone. Write one as "UTC" or "Europe/Berlin".'
        )


def _require_time_format(staging: Staging, source: Source, where: Where) -> None:
    if source.time_format is not None and not staging.knows_time_format(source.time_format):
        key = "source.time_format"
        raise ConfigInvalid(
            f'{where(key)}: {key} = "{source.time_format}" does not write a day with its year, or writes a zone. '
            'Write a format as "%d.%m.%Y %H:%M:%S".'
        )


@contextmanager
def _full_disk_of_duckdb(out: Path) -> Generator[None]:
    """DuckDB reports a full disk in its own words."""
    try:
        yield
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        if "No space left" not in str(error) and "max_temp_directory_size" not in str(error):
            raise
        raise DiskFull(
            f"The disk became full while {out} was written; what was there before is unchanged. "
            "Free some room, or write to another disk, and run again."
        ) from error
