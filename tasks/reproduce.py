"""Stage reproduce: a recorded training once more. Never cached, never resumed; nothing of it goes to MLflow."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from sentinel.artifacts import FeatureTable, Splits, TrainedModel
from sentinel.config import Training
from tasks.stage import Work, stage


@stage(code=(), settings=lambda run: [run.id], timeout=timedelta(hours=12), is_cached=False)
def reproduce(work: Work, table: FeatureTable, splits: Splits, settings: Training, threads: int) -> TrainedModel:
    from sentinel.training.fit import fit

    with _threads(threads):
        return fit(
            table, splits, settings, run_id="", home=work.run.paths.home, out=work.out, progress=work.progress
        )  # fmt: skip


@contextmanager
def _threads(wanted: int) -> Generator[None]:
    """Sums are taken in another order by another number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
