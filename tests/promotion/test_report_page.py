"""The report in a browser: on a phone and on a desk, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import DESK, PHONE, chromium, opened, overflows
from tests.promotion.standins import packaged, read_json, stages


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, _, release = packaged(stages(tmp_path_factory.mktemp("page") / "home", rows=3000))
    return made.home / release.path


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_is_read_without_scrolling_sideways(browser: Browser, release: Path, width: int, scheme: str) -> None:
    with opened(browser, (release / "report.html").as_uri(), width=width, scheme=scheme) as page:  # type: ignore[arg-type]
        assert not overflows(page)
        for gate in read_json(release / "gates.json")["gates"]:
            assert page.get_by_text(gate["name"], exact=True).first.is_visible()


def luminance(colour: str) -> float:
    """Of `rgb(r, g, b)`, by WCAG 2.2."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_its_ground(browser: Browser, release: Path, scheme: str) -> None:
    script = """() => [...document.querySelectorAll('p, td, th, dt, dd, h1, h2, h3, span, b, a, summary, figcaption')]
      .filter(one => one.innerText && one.checkVisibility()).map(one => {
        let ground = one;
        const clear = 'rgba(0, 0, 0, 0)';
        const back = (element) => getComputedStyle(element).backgroundColor;
        while (ground.parentElement && back(ground) === clear) ground = ground.parentElement;
        return [getComputedStyle(one).color, back(ground), one.innerText.slice(0, 40)];
      })"""
    with opened(browser, (release / "report.html").as_uri(), scheme=scheme) as page:  # type: ignore[arg-type]
        found = page.evaluate(script)
    faint = []
    for text, ground, words in found:
        brighter, darker = sorted((luminance(text), luminance(ground)), reverse=True)
        if (brighter + 0.05) / (darker + 0.05) < 4.5:
            faint.append((words, text, ground))
    assert len(found) > 50 and faint == []


def test_report_asks_no_server_for_anything(browser: Browser, release: Path) -> None:
    asked: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto((release / "report.html").as_uri(), wait_until="networkidle")
    page.close()
    assert [address for address in asked if not address.startswith(("data:", "file:"))] == []
    assert (release / "report.html").stat().st_size < 3_000_000
