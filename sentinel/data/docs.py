"""Pages for people about one validation: a summary of ours, and Great Expectations' own, which ask no network."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any, cast

from sentinel.data.verdict import Finding
from sentinel.storage import complete_file, write_json

# GX loads its styles, icons and scripts from elsewhere. Without them the pages need these few lines.
STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem 2.5rem; color: #1c2733; max-width: 75rem; }
table { border-collapse: collapse; margin: .4rem 0 1rem; } th { text-align: left; background: #eef2f5; }
td, th { border: 1px solid #d3dbe2; padding: .25rem .6rem; vertical-align: top; }
.text-success::before { content: "\\2714"; color: #16794c; } .text-danger::before { content: "\\2718"; color: #b3261e; }
.text-warning::before { content: "\\26A0"; color: #9a6700; }
.collapse { display: block !important; } .sticky > .card.mb-3, [data-toggle=collapse] { display: none; } /* dead */
.failed { background: #fdecea; } .warning { background: #fff6e0; } .not_checked { color: #6b7785; }
</style>"""
_FROM_ELSEWHERE = re.compile(
    r"<script\b.*?</script>"  # they all need jquery and bootstrap
    r"|<link\b[^>]*https?://[^>]*>"
    r"|<img\b[^>]*https?://[^>]*>"
    r"|<footer\b.*?</footer>"  # an advertisement
    r"|url\('https?://[^)]*\)",
    re.DOTALL,
)
INDEX, HISTORY = "index.html", "history.json"
KEPT = 20  # validations whose pages stay
_DRIFT, _DRIFT_END = "<!-- drift -->", "<!-- end of drift -->"
_ORDER = ("failed", "not_checked", "warning", "passed")


def without_network(site: Path) -> None:
    """Make every page of `site` readable by itself."""
    for page in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        text = _FROM_ELSEWHERE.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", f"{STYLE}</head>", 1), encoding="utf-8")


def detail_page(site: Path) -> Path:
    """GX's page of the one validation that the site shows."""
    return max((site / "validations").rglob("*.html"))


def write_summary(site: Path, name: str, findings: Sequence[Finding], rows: int) -> Path:
    """index.html of `site`: what is wrong in sentences first; GX's index cannot be read without its scripts."""
    links = {
        "Every expectation with what was observed": detail_page(site).relative_to(site).as_posix(),
        "The suite": f"expectations/{name}.html",
    }
    index = site / INDEX
    index.write_text("\n".join(_summary(name, findings, rows, links, _history(site))) + "\n", encoding="utf-8")
    return index


def keep_earlier(earlier: Path, site: Path, rows: int, *, passed: bool) -> None:
    """Take over the pages of the latest validations of the site `earlier`, and note the one that `site` shows."""
    page = detail_page(site).relative_to(site).as_posix()
    history: list[dict[str, Any]] = [{"page": page, "rows": rows, "passed": passed}, *_history(earlier)][:KEPT]
    for entry in history[1:]:
        (site / entry["page"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(earlier / entry["page"], site / entry["page"])
    write_json(site / HISTORY, history)


def show_drift(site: Path, page: Path, note: str, warnings: Sequence[str]) -> None:
    """Take the page about drift into `site`, and its verdict into the summary."""
    with complete_file(site / page.name) as temporary:
        shutil.copyfile(page, temporary)
    listed = "".join(f'<li class="warning">{escape(warning)}</li>' for warning in warnings)
    link = f'<a href="{escape(page.name)}">Every column beside the champion\'s training data, with pictures</a>'
    section = f"{_DRIFT}<h2>Shifts: {len(warnings)}</h2><p>{escape(note)}</p><ul>{listed}</ul><p>{link}</p>{_DRIFT_END}"
    text = (site / INDEX).read_text(encoding="utf-8")
    before, _, rest = text.partition(_DRIFT)
    with complete_file(site / INDEX) as temporary:
        temporary.write_text(before + section + rest.partition(_DRIFT_END)[2], encoding="utf-8")


def _history(site: Path) -> list[dict[str, Any]]:
    """The validations whose pages `site` has, newest first."""
    if not (site / HISTORY).is_file():
        return []
    kept = cast("list[dict[str, Any]]", json.loads((site / HISTORY).read_text()))
    return [entry for entry in kept if (site / entry["page"]).is_file()]


def link_page(target: str) -> str:
    """A page that says where the Data Docs are."""
    return f'<!doctype html><meta charset="utf-8"><title>Data Docs</title><a href="{escape(target)}">Data Docs</a>\n'


def _summary(
    name: str,
    findings: Sequence[Finding],
    rows: int,
    links: Mapping[str, str],
    history: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    counts = {outcome: sum(found.outcome == outcome for found in findings) for outcome in _ORDER}
    passed = not counts["failed"] and not counts["not_checked"]
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}: validation</title>'
    yield f"{STYLE}</head><body><h1>{escape(name)}: the data {'hold' if passed else 'break'} their contract</h1>"
    numbers = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in counts.items())
    yield f"<p>{rows:,} rows; {len(findings)} expectations: {numbers}.</p>"
    yield "<p>" + " · ".join(f'<a href="{escape(to)}">{escape(text)}</a>' for text, to in links.items()) + "</p>"
    yield f"{_DRIFT}{_DRIFT_END}"
    yield "<table><tr><th>outcome</th><th>expectation</th><th>what it says</th><th>what was found</th></tr>"
    for found in sorted(findings, key=lambda found: _ORDER.index(found.outcome)):
        cells = (found.outcome.replace("_", " "), found.name, found.description)
        yield f'<tr class="{found.outcome}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f"<td>{_found(found)}</td></tr>"
    yield "</table>"
    if history[1:]:
        yield "<h2>Earlier validations</h2><ul>"
        for entry in history[1:]:
            outcome, moment = "passed" if entry["passed"] else "failed", PurePosixPath(entry["page"]).parts[-2]
            yield f'<li><a href="{escape(entry["page"])}">{escape(moment)}</a>: {entry["rows"]:,} rows, {outcome}</li>'
        yield "</ul>"
    yield "</body></html>"


def _found(found: Finding) -> str:
    if found.outcome == "not_checked":
        return "not checked: its column is missing or has the wrong type"
    if not found.fault:
        return ""
    samples = (", ".join(f"{name} = {value!r}" for name, value in sample.items()) for sample in found.fault.samples)
    return "<br>".join([escape(found.fault.sentence), *(f"<small>{escape(sample)}</small>" for sample in samples)])
