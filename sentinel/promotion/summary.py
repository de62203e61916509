"""What a reviewer reads on the version's page in MLflow: what changed, the verdicts, where the rest is.

MLflow's page renders Markdown and holds 5,000 characters; what does not fit is left out by whole lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sentinel.promotion.figures import Figures, read_figures, read_gates, read_json
from sentinel.promotion.layout import CARD, FACTS, REPORT
from sentinel.promotion.words import as_markdown

MOST = 5000
_STATE = "**Decision: "  # begins the first paragraph, which alone changes later
_NAMES = {
    "latency_p99_ms": "latency p99 (ms)", "model_bytes": "model (bytes)", "data_digest": "data version",
    "feature_set_hash": "feature set", "git_commit": "code commit", "lock_sha256": "lock",
}  # fmt: skip
_DIGESTS = ("data_digest", "feature_set_hash", "git_commit", "lock_sha256")
_FIRST = ("failed", "undecided")
DATA_DOCS = "data_docs"  # a folder of the run's artifacts


@dataclass(frozen=True)
class Home:
    """Where MLflow keeps a version. `has_data_docs`: its run holds their pages."""

    experiment_id: str
    run_id: str
    model_id: str
    has_data_docs: bool = False


def summary(folder: Path, home: Home, champion: tuple[str, Path] | None = None) -> str:
    """`champion`: the version that serves now, with its release. The text has no state yet."""
    facts = read_json(folder / FACTS)
    parts = [
        _verdict(folder),
        _changes(read_figures(folder), champion),
        _links(home),
        _gates(folder),
        f"Variant {as_markdown(facts['variant'])}. {as_markdown(facts['variant_reason'])}",
    ]
    return cut("\n\n".join(parts), MOST - 700)  # room for the state


def with_state(text: str, state: str) -> str:
    """The same description with another first paragraph; a reader learns first how things stand."""
    body = text.partition("\n\n")[2] if text.startswith(_STATE) else text
    return cut(f"{_STATE}{state}\n\n{body}")


def cut(text: str, most: int = MOST) -> str:
    """At the end of a line, never within a row of a table."""
    if len(text) <= most:
        return text
    more = "\n\nThe rest did not fit; the full report has it."
    kept: list[str] = []
    room = most - len(more)
    for line in text.split("\n"):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(kept).rstrip() + more


def shown(name: str, value: Any) -> str:
    """A figure as a reader wants it: digests short, numbers with four digits, a dash for what is not there."""
    if value is None or value == "":
        return "-"
    if name in _DIGESTS:
        return str(value)[:12]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def label(name: str) -> str:
    return _NAMES.get(name, name)


def _verdict(folder: Path) -> str:
    gates = read_gates(folder)
    counted = {outcome: [gate["name"] for gate in gates if gate["outcome"] == outcome] for outcome in _FIRST}
    passed = sum(gate["outcome"] == "passed" for gate in gates)
    told = [f"{outcome}: {', '.join(names)}" for outcome, names in counted.items() if names]
    start = "; ".join(told).capitalize() if told else "Every gate passed"
    return f"**{as_markdown(start)}.** {passed} of {len(gates)} gates passed."


def _changes(new: Figures, champion: tuple[str, Path] | None) -> str:
    if champion is None:
        rows = [f"| {label(name)} | {shown(name, value)} |" for name, value in new.items()]
        return "\n".join(["There is no champion to compare with.\n", "| | this version |", "|---|---|", *rows])
    version, folder = champion
    old = read_figures(folder)
    changed = [name for name in new if old[name] != new[name]]
    same = [label(name) for name in new if name not in changed]
    rows = [f"| {label(name)} | {shown(name, old[name])} → {shown(name, new[name])} |" for name in changed]
    told = "\n".join([f"| | champion, version {version} → this version |", "|---|---|", *rows])
    return f"{told}\n\nThe same: {', '.join(same)}." if same else told


def _links(home: Home) -> str:
    """Relative: a reviewer's browser may know MLflow by another address than the run did."""
    pages = f"#/experiments/{home.experiment_id}"
    run = f"{pages}/runs/{home.run_id}/artifacts"
    files = f"ajax-api/2.0/mlflow/logged-models/{home.model_id}/artifacts/files?artifact_file_path="
    links = {  # MLflow's pages take no address of a single file of a model
        "full report": f"{files}{quote(REPORT)}",
        "card": f"{files}{quote(CARD)}",
        "evidence and all files": f"{pages}/models/{home.model_id}/artifacts",
        "pictures and training": run,
    }
    if home.has_data_docs:
        links["data docs"] = f"{run}/{DATA_DOCS}/index.html"
    return "Links: " + " · ".join(f"[{name}]({address})" for name, address in links.items())


def _gates(folder: Path) -> str:
    """What did not pass, first."""
    gates = [gate for gate in read_gates(folder) if gate["outcome"] != "passed"]
    ordered = sorted(gates, key=lambda gate: (*_FIRST, gate["outcome"]).index(gate["outcome"]))
    if not ordered:
        return "No gate failed, and none was undecided."
    rows = [
        f"| {as_markdown(gate['name'])} | {gate['outcome'].replace('_', ' ')} | {shown('', gate['value'])} "
        f"| {gate['direction']} {shown('', gate['threshold'])} |"
        for gate in ordered
    ]
    return "\n".join(["| gate | outcome | value | threshold |", "|---|---|---|---|", *rows])
