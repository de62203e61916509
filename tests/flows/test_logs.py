"""The log of a run, in its file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from flows.logs import logged_run

logger = logging.getLogger("sentinel")


def test_every_record_is_one_json_line_with_run_and_level(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="enough"), logged_run("r1", tmp_path) as log:
        logger.info("first\nsecond")
        raise ValueError("enough")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told, ended = (line for line in lines if line["logger"].startswith("sentinel"))
    assert (told["run_id"], told["level"], told["message"]) == ("r1", "info", "first\nsecond")
    assert "ValueError: enough" in ended["traceback"]


def test_full_disk_is_told_once_and_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r1.jsonl").symlink_to("/dev/full")
    with pytest.raises(ValueError, match="enough"), logged_run("r1", tmp_path):
        logger.info("first")
        logger.info("second")
        raise ValueError("enough")
    told = capsys.readouterr().err
    assert (told.count("is incomplete"), told.count("Traceback")) == (1, 0), told
