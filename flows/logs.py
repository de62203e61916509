"""Logs in two shapes: JSON lines in a file a run, readable lines on the terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.logging import RichHandler

from flows.cli.console import remarks
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


class RunLog(logging.FileHandler):
    """A file that cannot be written, as on a full disk, is told once and hides nothing that the run has to say."""

    is_broken = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        if not self.is_broken:
            self.is_broken = True
            remarks.print(f"The log {self.baseFilename} is incomplete: {sys.exc_info()[1]}", soft_wrap=True)

    def close(self) -> None:
        with suppress(OSError):  # of what could not be written
            super().close()


@contextmanager
def logged_run(run_id: str, folder: Path) -> Iterator[Path]:
    """Write the records of `sentinel.*`, and warnings of any library, to `folder/<run_id>.jsonl`; yield that path.

    On the terminal only warnings of Sentinel itself appear: its progress tells the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_id}.jsonl"
    to_file = RunLog(path, encoding="utf-8", delay=True)
    to_file.setFormatter(JsonLines(run_id))
    to_terminal = RichHandler(logging.WARNING, console=remarks, show_path=False, show_time=False)
    ours, root = logging.getLogger("sentinel"), logging.getLogger()
    ours.setLevel(logging.INFO)
    ours.propagate = False  # else a record would be written twice
    added = [(ours, to_file), (ours, to_terminal), (root, to_file)]
    for logger, handler in added:
        logger.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield path
    except BaseException:
        to_file.handle(_traceback_record())
        raise
    finally:
        logging.captureWarnings(False)
        for logger, handler in added:
            logger.removeHandler(handler)
        to_file.close()


def _traceback_record() -> logging.LogRecord:
    """The present exception, for the file only: the terminal gets a sentence."""
    return logging.LogRecord("sentinel.run", logging.ERROR, "", 0, "the run ended early", None, sys.exc_info())
