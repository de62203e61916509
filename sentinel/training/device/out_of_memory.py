"""What libraries raise when memory runs out, and the one sentence that a training then ends in."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

import torch

from sentinel.errors import TrainingFailed

_SAID_OF_MEMORY = (
    "can't allocate memory",  # torch's allocator on the CPU
    "Cannot allocate memory",  # the system
    "not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",  # XGBoost
)
_ASKED = re.compile(r"you tried to allocate (\d+) bytes")


def is_out_of_memory(error: BaseException | None) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | ValueError | OSError) and any(
        words in str(error) for words in _SAID_OF_MEMORY
    )


def what_was_refused(error: BaseException) -> str:
    """In a few words, for a sentence."""
    if asked := _ASKED.search(str(error)):
        return f"{int(asked[1]) / 1e6:,.0f} MB more were refused"
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


def does_not_fit(refused: str, doing: str = "") -> TrainingFailed:
    return TrainingFailed(
        f"Training does not fit into memory{doing} ({refused}). Make the model smaller (training.width, "
        "training.layers, training.bins, training.trees, training.tree_depth), or give it more memory "
        "(training.memory_limit, on a GPU training.device_memory_fraction)."
    )


@contextmanager
def out_of_memory_in_a_sentence() -> Generator[None]:
    """Whichever library it is that runs out, at first hand or as the cause of what is raised. Raises TrainingFailed."""
    try:
        yield
    except Exception as error:
        failed = next((each for each in (error, error.__cause__) if is_out_of_memory(each)), None)
        if failed is None:
            raise
        raise does_not_fit(what_was_refused(failed)) from error
