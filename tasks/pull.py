"""Stage pull: the pinned data, every byte checked again. Never cached: damage must be seen on every run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sentinel.artifacts import RawData
from sentinel.config import Simulation
from tasks.run import Run
from tasks.stage import Work, stage

if TYPE_CHECKING:
    from sentinel.data.pointer import Pointer


@stage(code=(), settings=lambda run: [], timeout=timedelta(hours=2), retries=2, is_cached=False)
def pull(work: Work) -> RawData:
    from sentinel.data.versioning import pull as pull_version

    run = work.run
    return pull_version(
        run.config.name, run.config.data, paths=run.paths, revision=run.data_version, pinned=_pointer(run),
        fill=_embedded(work), progress=work.progress,
    )  # fmt: skip


def _pointer(run: Run) -> Pointer | None:
    if run.pinned is None:
        return None
    from sentinel.data.pointer import pointer_to

    return pointer_to(run.pinned.version, run.pinned.bytes, run.paths.data(run.config.name).name)


def _embedded(work: Work) -> Callable[[Path], None] | None:
    """What fills the embedded remote when it is empty, for a config that has simulated data."""
    config = work.run.config
    if config.data.simulation is None:
        return None

    def fill(folder: Path) -> None:
        from sentinel.data.embedded import embedded_data

        simulation = cast(Simulation, config.data.simulation)
        embedded_data(simulation, config.columns, config.source, config.where, work.progress)(folder)

    return fill
