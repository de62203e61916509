"""The data of the embedded demonstration: simulated, then ingested like anybody's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from sentinel.config import Columns, Simulation, Source
from sentinel.data.ingestion import ingest
from sentinel.data.simulator import simulate
from sentinel.progress import Progress, silent


def embedded_data(
    simulation: Simulation, columns: Columns, source: Source, where: Callable[[str], str], progress: Progress = silent
) -> Callable[[Path], None]:
    """A function that writes transactions.parquet and quarantine.parquet of `simulation` into a folder."""

    def fill(folder: Path) -> None:
        with TemporaryDirectory(dir=folder.parent, prefix=".simulated-") as scratch:
            raw = Path(scratch) / "transactions.parquet"
            simulate(raw, simulation.transactions, simulation.seed, progress=progress)
            ingest([raw], columns, source, folder, where=where, progress=progress)

    return fill
