"""MLflow's page of a version in a browser, as a reviewer sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from sentinel.artifacts import Release
from sentinel.paths import Paths
from sentinel.promotion.registry import Registry
from tests.browser import DESK, chromium
from tests.promotion.releases import WAITING, decide, laid_out

LINKS = ("full report", "evidence and all files", "data docs")
_PATIENCE_MS = 60_000  # MLflow's pages load themselves in pieces


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_reviewer_reads_what_changed_and_comes_to_the_report(
    browser: Browser, server: str, releases: list[tuple[Release, Path]], tmp_path: Path
) -> None:
    registry = Registry(server, "page", Paths(tmp_path, tmp_path / "home"))
    data_docs = registry.paths.data_docs / "page" / "index.html"
    data_docs.parent.mkdir(parents=True)
    data_docs.write_text("<!doctype html><p>The data hold their contract.</p>")
    released = laid_out(registry, releases[0])
    decide(registry, registry.register(released), WAITING)
    page = browser.new_page(viewport={"width": DESK, "height": 1400})

    page.goto(f"{server}/#/models/page/versions/1", wait_until="load")

    expect(page.get_by_text("gates passed.").first).to_be_visible(timeout=_PATIENCE_MS)
    expect(page.get_by_text("review_state").first).to_be_visible()
    links = {name: page.get_by_role("link", name=name).evaluate("link => link.href") for name in LINKS}
    fetched = page.request.get(links["full report"])
    assert fetched.ok and fetched.body() == (tmp_path / "home" / released.path / "report.html").read_bytes()
    page.goto(links["evidence and all files"], wait_until="load")
    page.reload(wait_until="load")
    expect(page.get_by_text("report.html").first).to_be_visible(timeout=_PATIENCE_MS)
    page.goto(links["data docs"], wait_until="load")
    page.reload(wait_until="load")
    framed = page.frame_locator("iframe").get_by_text("The data hold their contract.")
    expect(framed).to_be_visible(timeout=_PATIENCE_MS)
    page.close()
