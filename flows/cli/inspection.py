"""What `sentinel data ingest` asks of new data, when a champion serves: whether they still look like what it knows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from flows.cli.console import Session, answers, remarks
from flows.environment import tracking_uri
from sentinel.errors import SentinelError

if TYPE_CHECKING:
    from sentinel.data.comparison import NoReference
    from sentinel.data.drift import Reference
    from sentinel.data.drift_report import Comparison


@dataclass
class Inspection:
    """Call it with the new table, before it replaces the earlier one; afterwards it knows what was found."""

    session: Session
    found: list[Comparison] = field(default_factory=list["Comparison"])

    @property
    def page(self) -> Path:
        return self.session.paths.data_docs / f"{self.session.config.name}.ingested.html"

    def __call__(self, transactions: Path) -> None:
        """Raises ValidationFailed for a fault, and for a shift where the configuration says so."""
        from sentinel.data.comparison import NoReference, inspect_ingested

        config = self.session.config
        reference = self._reference()
        if isinstance(reference, NoReference):
            if reference.note:
                remarks.print(f"[dim]not compared with the champion's training data: {escape(reference.note)}[/]")
            return
        self.found.append(
            inspect_ingested(
                transactions, reference, config.columns, config.validation, name=config.name, page=self.page
            )
        )

    def document(self) -> dict[str, Any]:
        """For machines: what was found; without a champion there is nothing to find."""
        if not self.found:
            return {"warnings": [], "drift": None}
        (found,) = self.found
        return {"warnings": list(found.warnings), "drift": {"note": found.note, "page": str(self.page)}}

    def show(self) -> None:
        for found in self.found:
            for warning in found.warnings:
                answers.print(f"[yellow]warning[/]    {escape(warning)}", soft_wrap=True)
            if found.warnings:
                answers.print(f"[dim]pictures   [/]xdg-open {escape(os.path.relpath(self.page))}", soft_wrap=True)

    def _reference(self) -> Reference | NoReference:
        """A registry that cannot be read keeps no data out: the run compares again."""
        from sentinel.data.comparison import NoReference, read_reference
        from sentinel.promotion.registry import Registry
        from sentinel.promotion.trained_on import champion_data

        session = self.session
        try:
            uri = tracking_uri(session.config, session.paths)
            champion = champion_data(Registry(uri, session.config.name, session.paths))
            return read_reference(champion.version, champion.file(session.paths)) if champion else NoReference("")
        except SentinelError as error:
            return NoReference(str(error))
