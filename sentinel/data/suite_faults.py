"""What every expectation of the suite carries: name, description, how grave a failure is, and the fault in words."""

from __future__ import annotations

from typing import Any, Literal


def says(
    name: str, description: str, fault: str, severity: Literal["critical", "warning"] = "critical"
) -> dict[str, Any]:
    return {"description": description, "severity": severity, "meta": {"name": name, "fault": fault}}
