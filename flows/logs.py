"""Logs in two shapes: JSON lines in a file a run, readable lines on the terminal."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from tasks.events import current_stage


class JsonLines(logging.Formatter):
    """One JSON object a record: time, run, stage, level, logger, message."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "run_id": self.run_id,
            "stage": current_stage.get(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


@contextmanager
def logged_run(run_id: str, folder: Path, terminal: Console | None) -> Iterator[Path]:
    """Write the records of `sentinel.*`, and warnings of any library, to `folder/<run_id>.jsonl`; yield that path.

    On the terminal only warnings of Sentinel itself appear: its progress tells the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_id}.jsonl"
    to_file = logging.FileHandler(path, encoding="utf-8", delay=True)
    to_file.setFormatter(JsonLines(run_id))
    ours, root = logging.getLogger("sentinel"), logging.getLogger()
    to_terminal = RichHandler(logging.WARNING, console=terminal, show_path=False) if terminal else None
    ours.setLevel(logging.INFO)
    root.addHandler(to_file)
    if to_terminal:
        ours.addHandler(to_terminal)
    logging.captureWarnings(True)
    try:
        yield path
    finally:
        logging.captureWarnings(False)
        root.removeHandler(to_file)
        if to_terminal:
            ours.removeHandler(to_terminal)
        to_file.close()
