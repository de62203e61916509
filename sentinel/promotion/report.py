"""What a reviewer reads: one self-contained HTML file, and the model card in Markdown, both from a release's files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined

from sentinel.promotion.figures import read_figures
from sentinel.promotion.layout import FACTS, GATES, LIBRARIES
from sentinel.promotion.pictures import inline, title
from sentinel.promotion.quality import estimate, in_words, read_quality
from sentinel.promotion.summary import label, shown

# (heading, key in measurements.json's variants)
_VARIANT_COLUMNS = (
    ("p99 ms", "latency_p99_ms"), ("p50 ms", "latency_p50_ms"), ("pr_auc", "pr_auc"),
    ("recall", "recall_at_alert_budget"),
    ("flips", "flips"), ("flipped minor units", "flipped_amount_minor"), ("largest shift", "largest_shift"),
    ("KL", "kl_divergence"), ("distinct scores", "distinct_scores"), ("bytes", "bytes"),
    ("rows/s at 256", "throughput_256_rows_per_s"), ("rows/s at 4096", "throughput_4096_rows_per_s"),
    ("integer products", "integer_matrix_products"),
)  # fmt: skip
_OUTCOMES = {
    "passed": "passed", "failed": "failed", "undecided": "a reviewer decides", "not_applicable": "not applicable",
}  # fmt: skip
# What needs attention comes first.
_GROUPS = {
    "failed": "Failed", "undecided": "Not enough data to tell: a reviewer decides", "passed": "Passed",
    "not_applicable": "Not applicable here",
}  # fmt: skip
_SHOWN_LICENCES = 6
_FIGURES = (
    "pr_auc", "roc_auc", "recall", "expected_calibration_error", "latency_p99_ms", "test_rows", "test_frauds",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What the gates come to. `outcome` is passed, failed or undecided."""

    outcome: str
    word: str
    sentence: str


def render_report(folder: Path, pictures: list[Path], champion: Path | None = None) -> str:
    """The report of the release that is being built in `folder`; `champion`: the release that it was judged against.

    Pictures of gates have the room before the others.
    """
    content = _content(folder)
    gates = content["judged"]["gates"]
    of_gates = {gate["name"]: folder / gate["picture"] for gate in gates if gate.get("picture")}
    inlined = inline([*of_gates.values(), *pictures])
    addresses = {name: inlined.addresses.get(picture) for name, picture in of_gates.items()}
    others = [{"title": title(one), "address": inlined.addresses[one]} for one in pictures if one in inlined.addresses]
    return (
        _environment()
        .get_template("report.html")
        .render(
            **content,
            changes=_changes(folder, champion),
            groups=_groups(gates, addresses),
            pictures=others,
            left_out=inlined.left_out,
            figures=_FIGURES,
        )
    )


def render_card(folder: Path) -> str:
    return _environment().get_template("card.md").render(**_content(folder))


def _content(folder: Path) -> dict[str, Any]:
    facts, judged = _read(folder / FACTS), _read(folder / GATES)
    measurements, quality = _read(folder / "measurements.json"), read_quality(folder)
    return {
        "facts": facts,
        "judged": judged,
        "verdict": _verdict(judged),
        "libraries": _libraries(folder / LIBRARIES),
        "outcomes": _OUTCOMES,
        "metrics": sorted(facts["metrics"].items()),
        "splits": _read(folder / "splits.json"),
        "threshold": _read(folder / "threshold.json"),
        "quality": in_words(quality),
        "slices": quality["slices"] or [],
        "inputs": _read(folder / "inputs.json"),
        "columns": _VARIANT_COLUMNS,
        "variants": _variants(measurements),
    }


def _variants(measurements: dict[str, Any]) -> list[dict[str, Any]]:
    """Each measured variant with its name, in the order of the file."""
    measured: Any = measurements.get("variants", [])
    if isinstance(measured, dict):
        named = cast("dict[str, dict[str, Any]]", measured)
        return [{**values, "name": name} for name, values in named.items()]
    return cast("list[dict[str, Any]]", measured)


def _verdict(judged: dict[str, Any]) -> Verdict:
    failed, undecided = judged["failed"], judged.get("undecided", [])
    if failed or not judged["passed"]:
        return Verdict("failed", "failed", f"This version must not serve. Failed: {', '.join(failed)}.")
    if undecided:
        return Verdict(
            "undecided", "a reviewer decides",
            f"No gate failed, and the data do not suffice to tell about {', '.join(undecided)}: a reviewer decides.",
        )  # fmt: skip
    return Verdict("passed", "passed", "Every gate passed: this version may serve.")


def _changes(folder: Path, champion: Path | None) -> list[dict[str, Any]]:
    """Each figure of both releases, those that differ first."""
    if champion is None:
        return []
    old, new = read_figures(champion), read_figures(folder)
    lines = [
        {"what": label(name), "before": shown(name, old[name]), "after": shown(name, new[name]), "differs": differs}
        for name, differs in ((name, old[name] != new[name]) for name in new)
    ]
    return sorted(lines, key=lambda line: not line["differs"])


def _libraries(file: Path) -> list[str]:
    """What is known of the lock's licences and vulnerabilities, in sentences."""
    found = _read(file)
    licences = ", ".join(f"{licence} ({count})" for licence, count in list(found["licences"].items())[:_SHOWN_LICENCES])
    told = [f"{found['distributions']} packages. Licences most often named: {licences}."]
    if found["copyleft"]:
        told.append("Copyleft: " + ", ".join(f"{one['name']} ({one['licence']})" for one in found["copyleft"]) + ".")
    if found["unknown"]:
        told.append(f"No licence named: {', '.join(found['unknown'])}.")
    return [*told, f"Known vulnerabilities: {found['vulnerabilities']['sentence']}"]


def _groups(gates: list[dict[str, Any]], addresses: dict[str, str | None]) -> list[dict[str, Any]]:
    groups = [
        {
            "title": heading,
            "gates": [{**gate, "address": addresses.get(gate["name"])} for gate in gates if gate["outcome"] == outcome],
        }
        for outcome, heading in _GROUPS.items()
    ]
    return [group for group in groups if group["gates"]]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sentinel.promotion"),
        autoescape=lambda name: bool(name) and str(name).endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["figure"] = _figure  # pyright: ignore[reportUnknownMemberType]
    environment.filters["estimate"] = estimate  # pyright: ignore[reportUnknownMemberType]
    return environment


def _figure(value: Any) -> str:
    """A number as a reader wants it: thousands apart, four significant digits; a dash for nothing."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:,.4g}"


def _read(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text()))
