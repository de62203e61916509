from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from sentinel.config import Gates
from sentinel.promotion.report import render_report, summary
from tests.promotion.standins import packaged, read_json, stages

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def rejected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release of a candidate that failed one gate."""
    strict = Gates(min_pr_auc=0.99, max_latency_p99_ms=1000.0)
    made, _, release = packaged(stages(tmp_path_factory.mktemp("rejected") / "home"), gates=strict)
    return made.home / release.path


def test_report_fetches_nothing(rejected: Path, tmp_path: Path) -> None:
    (tmp_path / "curve.png").write_bytes(_PIXEL)

    page = render_report(rejected, [tmp_path / "curve.png"])

    assert 'src="data:image/png;base64,' in page
    assert not re.search(r"""(src|href)=["'](?!data:)|@import|url\(|<script""", page)


def test_report_says_the_verdict_in_words_and_every_gate_with_value_and_threshold(rejected: Path) -> None:
    page = (rejected / "report.html").read_text()

    assert "This version must not serve. Failed: pr_auc_floor." in page
    for gate in read_json(rejected / "gates.json")["gates"]:
        assert f"<b>{gate['name']}</b>" in page
    assert "at least 0.99" in page
    assert page.count('<span class="mark failed">failed</span>') == 2  # the verdict and the one gate


def test_report_and_card_say_what_the_budget_means_and_the_quality_of_every_slice(rejected: Path) -> None:
    page, card = (rejected / "report.html").read_text(), (rejected / "card.md").read_text()

    for text in (page, card):
        assert "at most 12 alerts a day on the calibration part (11.9 there)" in text
        assert "On the test part that is 12.5 alerts a day" in text
        assert "300,000 minor units are caught (75.0% of the money), 100,000 are missed" in text
        assert "Expected calibration error 0.5 (0.4 to 0.6)" in text
    for cell in ("country", "<b>&lt;DE&gt;</b>", "0.01 (0.005 to 0.02)", "too few"):
        assert f">{cell}</td>" in page
    assert "| country | `<DE>` | 500 | 60 | 1.5 | 0.5 (0.4 to 0.6) | 0.01 (0.005 to 0.02) | too few |" in card


def test_report_and_card_say_whether_the_training_can_be_repeated(rejected: Path) -> None:
    assert "<dt>Reproducibility</dt><dd>bit-exact: " in (rejected / "report.html").read_text()
    assert "- reproducibility: `bit-exact` (" in (rejected / "card.md").read_text()


def test_release_without_the_record_of_its_quality_says_so(rejected: Path, tmp_path: Path) -> None:
    for file in rejected.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())

    page = render_report(tmp_path, [])

    assert "What the threshold means in alerts and money was not recorded." in page and "Quality by slice" not in page


def test_pictures_stay_below_the_pages_limit_and_those_left_out_are_named(rejected: Path, tmp_path: Path) -> None:
    pictures = [tmp_path / f"picture_{number}.png" for number in range(4)]
    for picture in pictures:
        picture.write_bytes(_PIXEL + bytes(900_000))

    page = render_report(rejected, pictures)

    assert len(page) < 3_000_000
    assert "picture 2, picture 3" in page


def test_text_from_the_data_cannot_become_markup(rejected: Path, tmp_path: Path) -> None:
    for name in ("release.json", "gates.json", "measurements.json", "splits.json", "threshold.json", "inputs.json"):
        (tmp_path / name).write_text((rejected / name).read_text().replace("It was the fastest.", "<script>x</script>"))

    page = render_report(tmp_path, [])

    assert "&lt;script&gt;x&lt;/script&gt;" in page and "<script>" not in page


def test_summary_fits_into_a_description(rejected: Path) -> None:
    facts, judged = read_json(rejected / "release.json"), read_json(rejected / "gates.json")

    text = summary({**facts, "variant_reason": "word " * 2000}, judged)

    assert len(text) == 5000
    assert "Failed: pr_auc_floor" in text
