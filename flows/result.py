"""What a run ends with: the registered version as a document, and a sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sentinel.artifacts import Decision, DriftReport, GateReport, RawData, ValidatedData
from tasks.run import Run


@dataclass(frozen=True)
class RunResult:
    run_id: str
    name: str
    document: dict[str, Any]  # what `sentinel models show --json` prints
    rows: int
    frauds: int
    data_version: str
    warnings: tuple[str, ...]  # of the data validation, and shifts from what the champion was trained on
    drift: DriftReport
    data_docs: str
    failed_now: tuple[str, ...]  # gates that the candidate fails by today's thresholds
    decision: Decision
    stages: list[dict[str, Any]]

    @property
    def is_nothing_new(self) -> bool:
        """Whether every stage stood already; the pull is a check and always runs."""
        return all(stage["cached"] for stage in self.stages if stage["name"] != RawData.stage)

    @property
    def state_name(self) -> str:
        return "Nothing new" if self.is_nothing_new else self.decision.outcome.capitalize()

    @property
    def stands_against_its_gates(self) -> bool:
        """The champion of an earlier decision that today's thresholds would refuse."""
        return bool(self.failed_now) and self.decision.outcome == "promoted"

    @property
    def sentence(self) -> str:
        version = f"{self.name} version {self.decision.version}"
        if self.stands_against_its_gates:
            return (
                f"{version} stays champion by its decision of {self.decision.decided_at}, but fails today's "
                f"{', '.join(self.failed_now)}. Train a better one, or mend [gates] in the configuration."
            )
        if self.is_nothing_new:
            aliases = ", ".join(self.document["aliases"]) or "no alias"
            return f"Nothing new: data, code, configuration and champion are as before; {version} stands ({aliases})."
        return f"{version} {self.decision.outcome}: {self.decision.reason}"

    def as_dict(self) -> dict[str, Any]:
        """The document for machines: that of the version, and what this run did."""
        return {
            **self.document,
            "reason": self.decision.reason,
            "decided_by": self.decision.decided_by,
            "decided_at": self.decision.decided_at,
            "run": self.run_id,
            "rows": self.rows,
            "frauds": self.frauds,
            "data_version": self.data_version,
            "warnings": list(self.warnings),
            "drift": {"reference": self.drift.reference, "note": self.drift.note, "data_docs": self.data_docs},
            "failed_now": list(self.failed_now),
            "sentence": self.sentence,
            "nothing_new": self.is_nothing_new,
            "stages": self.stages,
        }


def read_result(
    run: Run, raw: RawData, validated: ValidatedData, drift: DriftReport, report: GateReport, decision: Decision
) -> RunResult:
    """Read the version back from the registry, which alone knows what its aliases are now."""
    from sentinel.promotion.registry import Registry

    registry = Registry(run.tracking_uri, run.config.name, run.paths)
    return RunResult(
        run_id=run.id,
        name=run.config.name,
        document=registry.show(decision.version),
        rows=raw.rows,
        frauds=raw.frauds,
        data_version=raw.version,
        warnings=(*validated.warnings, *drift.warnings),
        drift=drift,
        data_docs=str(run.paths.data_docs / run.config.name / "index.html"),
        failed_now=report.failed,
        decision=decision,
        stages=[asdict(record) for record in run.stages],
    )
