"""Names and values as SQL text. Light: what only writes SQL need not load Feast."""

from __future__ import annotations


def quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
