"""Pages for people about one validation: a summary of ours, and Great Expectations' own, which ask no network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from sentinel.data.verdict import Finding

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
    index = site / "index.html"
    index.write_text("\n".join(_summary(name, findings, rows, links)) + "\n", encoding="utf-8")
    return index


def link_page(target: str) -> str:
    """A page that says where the Data Docs are."""
    return f'<!doctype html><meta charset="utf-8"><title>Data Docs</title><a href="{escape(target)}">Data Docs</a>\n'


def _summary(name: str, findings: Sequence[Finding], rows: int, links: Mapping[str, str]) -> Iterator[str]:
    counts = {outcome: sum(found.outcome == outcome for found in findings) for outcome in _ORDER}
    passed = not counts["failed"] and not counts["not_checked"]
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}: validation</title>'
    yield f"{STYLE}</head><body><h1>{escape(name)}: the data {'hold' if passed else 'break'} their contract</h1>"
    numbers = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in counts.items())
    yield f"<p>{rows:,} rows; {len(findings)} expectations: {numbers}.</p>"
    yield "<p>" + " · ".join(f'<a href="{escape(to)}">{escape(text)}</a>' for text, to in links.items()) + "</p>"
    yield "<table><tr><th>outcome</th><th>expectation</th><th>what it says</th><th>what was found</th></tr>"
    for found in sorted(findings, key=lambda found: _ORDER.index(found.outcome)):
        cells = (found.outcome.replace("_", " "), found.name, found.description)
        yield f'<tr class="{found.outcome}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f"<td>{_found(found)}</td></tr>"
    yield "</table></body></html>"


def _found(found: Finding) -> str:
    if found.outcome == "not_checked":
        return "not checked: its column is missing or has the wrong type"
    if not found.fault:
        return ""
    samples = (", ".join(f"{name} = {value!r}" for name, value in sample.items()) for sample in found.fault.samples)
    return "<br>".join([escape(found.fault.sentence), *(f"<small>{escape(sample)}</small>" for sample in samples)])
