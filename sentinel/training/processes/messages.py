"""What a training process tells the one that launched it: lines of JSON in a file of its own.

{"progress": [done, total, doing]}   {"metric": [name, value, step]}   {"log": [logger, level, message]}
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sentinel.progress import Progress


class Messages:
    """The file of one process, written a line at a time."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._file = message_file(folder, rank).open("a", encoding="utf-8", buffering=1)

    def progress(self, done: float, total: float, doing: str = "") -> None:
        self._write({"progress": [done, total, doing]})

    def metric(self, name: str, value: float, step: int) -> None:
        self._write({"metric": [name, value, step]})

    def log(self, logger: str, level: int, message: str) -> None:
        self._write({"log": [logger, level, message]})

    def _write(self, message: dict[str, Any]) -> None:
        self._file.write(json.dumps(message) + "\n")


class LogMessages(logging.Handler):
    """Passes on what Sentinel itself logs."""

    def __init__(self, messages: Messages) -> None:
        super().__init__(logging.INFO)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.log(record.name, record.levelno, record.getMessage())


class Follower:
    """Reads the files of all processes as they grow; a line that is not whole yet waits."""

    def __init__(
        self, folder: Path, processes: int, progress: Progress, log_metric: Callable[[str, float, int], None]
    ) -> None:
        self._read = {message_file(folder, rank): 0 for rank in range(processes)}
        self._progress, self._log_metric = progress, log_metric

    def pass_on(self) -> None:
        """Whatever is new."""
        for file, position in self._read.items():
            if not file.exists():
                continue
            with file.open("rb") as lines:
                lines.seek(position)
                whole, newline, _ = lines.read().rpartition(b"\n")
            self._read[file] = position + len(whole) + len(newline)
            for line in whole.splitlines():
                self._tell(json.loads(line))

    def _tell(self, message: dict[str, list[Any]]) -> None:
        match message:
            case {"progress": [done, total, doing]}:
                self._progress(done, total, doing)
            case {"metric": [name, value, step]}:
                self._log_metric(name, value, step)
            case {"log": [logger, level, text]}:
                logging.getLogger(logger).log(level, "%s", text)
            case _:
                raise ValueError(f"a training process sent {message}")


def message_file(folder: Path, rank: int) -> Path:
    return folder / f"messages-{rank}.jsonl"
