"""What a reviewer reads: one self-contained HTML file, and the model card in Markdown, both from a release's files."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined

from sentinel.promotion.layout import FACTS, GATES
from sentinel.promotion.quality import estimate, in_words, read_quality

_MOST_PICTURE_BYTES = 2_000_000  # base64 adds a third, and the whole page stays under 3 MB
# (heading, key in measurements.json's variants)
_VARIANT_COLUMNS = (
    ("pr_auc", "pr_auc"), ("flips", "flips"), ("flipped minor units", "flipped_amount_minor"), ("bytes", "bytes"),
    ("p50 ms", "latency_p50_ms"), ("p99 ms", "latency_p99_ms"), ("rows/s at 256", "throughput_256_rows_per_s"),
    ("integer products", "integer_matrix_products"),
)  # fmt: skip
_OUTCOMES = {"passed": "passed", "failed": "failed", "not_applicable": "not applicable", "undecided": "undecided"}


def render_report(folder: Path, pictures: list[Path]) -> str:
    """The report of the release that is being built in `folder`."""
    kept, left_out = _inline(pictures)
    return _environment().get_template("report.html").render(**_content(folder), pictures=kept, left_out=left_out)


def render_card(folder: Path) -> str:
    return _environment().get_template("card.md").render(**_content(folder))


def summary(facts: dict[str, Any], judged: dict[str, Any]) -> str:
    """A few lines for the registry's description (5,000 characters at most)."""
    template = _environment().get_template("summary.md")
    return template.render(facts=facts, judged=judged, outcomes=_OUTCOMES)[:5000]


def _content(folder: Path) -> dict[str, Any]:
    facts, judged = _read(folder / FACTS), _read(folder / GATES)
    measurements, quality = _read(folder / "measurements.json"), read_quality(folder)
    return {
        "facts": facts,
        "judged": judged,
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


def _inline(pictures: list[Path]) -> tuple[list[dict[str, str]], list[str]]:
    """Pictures as data addresses while they fit, and the names of those that do not."""
    kept: list[dict[str, str]] = []
    left_out: list[str] = []
    room = _MOST_PICTURE_BYTES
    for picture in pictures:
        title = picture.stem.replace("_", " ").replace("-", " ")
        if picture.stat().st_size > room:
            left_out.append(title)
            continue
        room -= picture.stat().st_size
        content = base64.b64encode(picture.read_bytes()).decode()
        kept.append({"title": title, "address": f"data:image/png;base64,{content}"})
    return kept, left_out


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
