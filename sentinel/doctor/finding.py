"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem", "unreachable"]


@dataclass(frozen=True)
class Finding:
    """`unreachable` is the problem that a configured service does not answer; `mend` is empty when all is well."""

    check: str
    status: Status
    found: str
    mend: str = ""
