"""Values beside the declared domain of a categorical column, and what probably became of them, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sentinel.config import Validation
from sentinel.data.drift import GONE_SHARE, Reference
from sentinel.data.table import TransactionTable

UNDECLARED = "{undeclared}"  # the fault of the expectation that such a sentence is about
MAX_VALUES = 3
MAX_DECLARED = 12


def undeclared_sentences(file: Path, scratch: Path, settings: Validation, reference: Reference | None) -> list[str]:
    """One for each declared column of the file that holds other values than its domain."""
    with TransactionTable(file, scratch) as table:
        counts = {name: table.value_counts(name) for name in settings.categories if name in table.types}
    sentences = [undeclared_sentence(name, counts[name], settings.categories[name], reference) for name in counts]
    return [sentence for sentence in sentences if sentence]


def undeclared_sentence(
    column: str, counts: Sequence[tuple[str, int]], declared: Sequence[str], reference: Reference | None
) -> str | None:
    """`counts`: values with their rows, the most frequent first. None when all of them are declared."""
    strange = [(value, rows) for value, rows in counts if value not in declared]
    if not strange:
        return None
    present = {value for value, _ in counts}
    verb = "is" if len(strange) == 1 else "are"
    return (
        f"{column} holds {_strange(strange)}, which {verb} not in the declared domain {_declared(declared)}"
        f"{_origin(column, strange, present, declared, reference)}. Mend the source, or declare the "
        f"value{'' if len(strange) == 1 else 's'} in [validation.categories]"
    )


def _strange(strange: Sequence[tuple[str, int]]) -> str:
    parts = [f"{value!r} in {rows:,} row{'' if rows == 1 else 's'}" for value, rows in strange[:MAX_VALUES]]
    if rest := strange[MAX_VALUES:]:
        parts.append(f"{len(rest):,} more values in {sum(rows for _, rows in rest):,} rows")
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _declared(declared: Sequence[str]) -> str:
    return ", ".join(declared[:MAX_DECLARED]) + (", …" if len(declared) > MAX_DECLARED else "")


def _origin(
    column: str, strange: Sequence[tuple[str, int]], present: set[str], declared: Sequence[str],
    reference: Reference | None,
) -> str:  # fmt: skip
    """What was there before, where something disappeared as something else appeared."""
    known = reference.profile.categories.get(column) if reference else None
    if reference is None or known is None:
        absent = [value for value in declared if value not in present]
        if not absent:
            return ""
        verb, pronoun = ("does", "it is") if len(absent) == 1 else ("do", "one of them is")
        return f"; {_quoted(absent)}, declared, {verb} not occur: perhaps {pronoun} what was renamed"
    gone = {value: share for value, share in known.shares.items() if value not in present and share >= GONE_SHARE}
    if gone:
        has = "has" if len(gone) == 1 else "have"
        return f"; {reference.name} was trained with {_shares(gone)}, which {has} disappeared: it looks like a renaming"
    if any(value in known.shares for value, _ in strange):
        return f"; {reference.name} was trained with such rows"
    return f"; {reference.name} was never trained with {'it' if len(strange) == 1 else 'them'}"


def _quoted(values: Sequence[str]) -> str:
    return ", ".join(repr(value) for value in values[:MAX_VALUES]) + (", …" if len(values) > MAX_VALUES else "")


def _shares(gone: Mapping[str, float]) -> str:
    listed = [f"{value!r} ({share:.0%} of the rows)" for value, share in list(gone.items())[:MAX_VALUES]]
    return ", ".join(listed) + (", …" if len(gone) > MAX_VALUES else "")
