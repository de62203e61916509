"""A process of its own for what depends on what the memory of a process has seen before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def in_a_fresh_process(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a module there; its failure is raised here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(function, *arguments).result()
