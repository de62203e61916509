"""What a person sees of a run in Prefect's UI."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from sentinel.artifacts import Decision, DriftReport
from tasks.run import Run

if TYPE_CHECKING:
    from sentinel.data.verdict import FailedExpectation


def show_failed_expectations(failures: tuple[FailedExpectation, ...], message: str) -> None:
    """A table of the failed expectations with counts and sample rows."""
    rows = [
        {
            "expectation": failed.name,
            "column": failed.column or "",
            "what is wrong": failed.sentence,
            "rows": "" if failed.unexpected_count is None else str(failed.unexpected_count),
            "samples": "; ".join(str(sample) for sample in failed.samples),
        }
        for failed in failures
    ]
    create_table_artifact(rows, key="failed-expectations", description=message)


def show_drift(report: DriftReport, page: Path) -> None:
    """The shifts, and where the pictures are."""
    lines = ["# The data beside the champion's training data", report.note, *(f"- {one}" for one in report.warnings)]
    create_markdown_artifact("\n\n".join([*lines, f"Pictures: `{page}`"]), key="drift", description=report.note)


def show_gates(gates: list[dict[str, Any]]) -> None:
    columns = ("name", "outcome", "value", "threshold", "sentence")
    rows = [{column: str(gate.get(column, "")) for column in columns} for gate in gates]
    create_table_artifact(rows, key="gates", description="Every gate of the candidate, with value and threshold")


def show_picture(picture: Path, key: str, description: str) -> None:
    encoded = base64.b64encode(picture.read_bytes()).decode()
    create_image_artifact(f"data:image/png;base64,{encoded}", key=key, description=description)


def show_version(run: Run, decision: Decision, report: Path) -> None:
    """A link to the version in MLflow where a server is named, and a few lines in any case."""
    title = f"{decision.name} version {decision.version}: {decision.outcome}"
    if run.tracking_uri.startswith("http"):
        page = f"{run.tracking_uri.rstrip('/')}/#/models/{decision.name}/versions/{decision.version}"
        create_link_artifact(page, key="mlflow-version", link_text=f"{title} (MLflow)")
    lines = (f"# {title}", decision.reason, f"Report: `{report}`", f"MLflow: `{run.tracking_uri}`")
    create_markdown_artifact("\n\n".join(lines), key="version", description=title)
