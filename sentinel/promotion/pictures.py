"""Pictures inside the page: as data addresses, while they fit."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_MOST_BYTES = 2_000_000  # base64 adds a third, and the whole page stays under 3 MB


@dataclass(frozen=True)
class Inlined:
    """`addresses`: of each picture that fits; `left_out`: the titles of the others."""

    addresses: Mapping[Path, str]
    left_out: tuple[str, ...]


def inline(pictures: Iterable[Path]) -> Inlined:
    """In the order of importance: the first ones have the room."""
    addresses: dict[Path, str] = {}
    left_out: list[str] = []
    room = _MOST_BYTES
    for picture in pictures:
        size = picture.stat().st_size
        if size > room:
            left_out.append(title(picture))
            continue
        room -= size
        addresses[picture] = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
    return Inlined(addresses, tuple(left_out))


def title(picture: Path) -> str:
    return picture.stem.replace("_", " ").replace("-", " ")
