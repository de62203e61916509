"""Gates on the terminal: the same table after a run and for a registered version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

_COLOURS = {"passed": "green", "failed": "bold red", "not_applicable": "dim", "undecided": "bold yellow"}


def gate_table(gates: Sequence[dict[str, Any]]) -> Table:
    """A row a gate: name, outcome, value and threshold."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("gate", "outcome"):
        table.add_column(heading)
    for heading in ("value", "threshold"):
        table.add_column(heading, justify="right")
    for gate in gates:
        outcome = f"[{_COLOURS[gate['outcome']]}]{gate['outcome'].replace('_', ' ')}[/]"
        table.add_row(gate["name"], outcome, figure(gate["value"]), figure(gate["threshold"]))
    return table


def figure(value: float | None) -> str:
    """Four digits; a dash for what does not apply or was not measured."""
    return "-" if value is None else f"{value:.4g}"
