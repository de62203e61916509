"""The way of a value, drawn for a terminal: source columns -> view -> features -> what the model derives from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap

from rich.text import Text

from sentinel.features.catalogue import FeatureEntry, ViewEntry

_WINDOW = re.compile(r"_\d+[smhd]$")


def draw_view(view: ViewEntry, derived: Mapping[str, Sequence[str]], width: int) -> Text:
    """The columns on the left, joined into the view; below it a branch for each statistic, with its windows.

    `derived`: each derived feature with its inputs; only those of this view's features are shown.
    """
    left = _columns(view.source_columns)
    indent = len(left[0])
    right = [Text(view.name, "bold"), *_facts(view, width - indent)]
    branches = _branches(view, derived)
    for number, branch in enumerate(branches):
        right += _branch(branch, is_last=number == len(branches) - 1, width=width - indent)
    lines = [*[Text()] * _middle(view.source_columns), *right]
    rows = zip_longest(left, lines, fillvalue=None)
    return Text("\n").join(Text.assemble(((at or "").ljust(indent), "cyan"), line or "") for at, line in rows)


def draw_transaction(
    columns: Sequence[str], derived: Mapping[str, Sequence[str]], categorical: Sequence[str], width: int
) -> Text:
    """What the model derives from the transaction's own `columns` alone."""
    made = {column: [name for name, inputs in derived.items() if tuple(inputs) == (column,)] for column in columns}
    made |= {column: ["the code of its category"] for column in categorical}
    indent = max(len(column) for column in made) + len(" ─▶ ")
    drawn: list[Text] = []
    for column, names in made.items():
        for number, line in enumerate(wrap(", ".join(names), width - indent)):
            stem = f"{column} ".ljust(indent - 2, "─") + "▶ " if number == 0 else " " * indent
            drawn.append(Text.assemble((stem, "cyan"), (line, "dim")))
    return Text("\n").join(drawn)


def _columns(names: Sequence[str]) -> list[str]:
    """`customer_id ─┐` and so on, all of one length; the middle one has the arrow."""
    longest = max(len(name) for name in names)
    return [f"{name} ".ljust(longest + 2, "─") + _corner(names, at) for at, name in enumerate(names)]


def _corner(names: Sequence[str], at: int) -> str:
    is_first, is_last = at == 0, at == len(names) - 1
    if at == _middle(names):
        return ("─" if is_last else "┬" if is_first else "┼") + "▶ "
    return ("┐" if is_first else "┘" if is_last else "┤") + "  "


def _middle(names: Sequence[str]) -> int:
    return (len(names) - 1) // 2


def _facts(view: ViewEntry, width: int) -> list[Text]:
    rule = wrap(f"knowable {view.knowable}", width - 2)
    return [Text(f"│ {line}", "dim") for line in (*rule, f"kept {view.ttl}")]


def _branches(view: ViewEntry, derived: Mapping[str, Sequence[str]]) -> list[tuple[str, list[FeatureEntry], list[str]]]:
    """A group of features that differ in their window, and the kinds of what is derived from them."""
    groups: dict[str, list[FeatureEntry]] = {}
    for feature in view.features:
        groups.setdefault(feature.group, []).append(feature)
    return [(group, of, _kinds(view, {each.name for each in of}, derived)) for group, of in groups.items()]


def _kinds(view: ViewEntry, features: set[str], derived: Mapping[str, Sequence[str]]) -> list[str]:
    found = (_WINDOW.sub("", name) for name, inputs in derived.items() if features.intersection(inputs))
    return list(
        dict.fromkeys(
            "log" if name == f"log_{view.features[-1].name}" else name.removeprefix(f"{view.name}_") for name in found
        )
    )


def _branch(branch: tuple[str, list[FeatureEntry], list[str]], *, is_last: bool, width: int) -> Iterator[Text]:
    group, features, kinds = branch
    windows = "  ".join(feature.window for feature in features if feature.window)
    stem = "  " if is_last else "│ "
    yield Text.assemble("└─ " if is_last else "├─ ", (group, "green"), f"  {windows}" if windows else "")
    for number, line in enumerate(wrap(", ".join(kinds), width - 5)):
        yield Text.assemble(stem, (" ▸ " if number == 0 else "   ") + line)
