"""A project with built features online, streamed into by the real command in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sentinel.features.online.materialize import bring_online
from sentinel.features.online.rows import OnlineRow
from sentinel.features.online.store import open_online
from sentinel.features.spec import FeatureSet
from tests.features.online.stream.data import (
    known,
    label_arrival,
    label_line,
    offline_rows,
    table_of,
    transaction_line,
    us,
    wanted_of,
)  # fmt: skip
from tests.features.project import HERE, LAG, Project, columns_of

NAME = "tiny"
_TIMEOUT_S = 120
SENTINEL = str(Path(sys.executable).with_name("sentinel"))
_CONFIG = """
name = "tiny"
[columns]
transaction_id = "transaction_id"
event_timestamp = "event_timestamp"
customer_id = "customer_id"
merchant_id = "merchant_id"
label_available_at = "label_available_at"
amount = "amount_minor"
is_fraud = "is_fraud"
[gates]
min_pr_auc = 0.1
"""


@dataclass
class StreamProject:
    """`past` was built and materialized; `events`: what came since, in the order of arrival."""

    project: Project
    rows: list[dict[str, Any]]
    events: list[bytes]
    redis_url: str | None

    @classmethod
    def make(cls, folder: Path, rows: list[dict[str, Any]], cut: datetime, redis_url: str | None) -> StreamProject:
        project = Project(folder)
        (project.paths.root / "configs").mkdir(parents=True)
        services = f'[services]\nredis_url = "{redis_url}"\n' if redis_url else ""
        (project.paths.root / "configs" / "default.toml").write_text(_CONFIG + services)
        shutil.copy(HERE / "pyproject.toml", project.paths.root)
        past = [without_label(row, cut) for row in rows if known(row) <= cut]
        table = project.build(table_of(past), columns_of(past[0]), name=NAME, out=f"stages/{NAME}/features/{'0' * 16}")
        with closing(open_online(project.paths, NAME, redis_url)) as store:
            bring_online(table.locate(project.paths.home), store, spill=folder / "spill")
        return cls(project, rows, events_since(rows, cut), redis_url)

    @property
    def environment(self) -> dict[str, str]:
        left_out = ("REDIS_URL", "MLFLOW_TRACKING_URI")
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        return {**kept, "SENTINEL_HOME": str(self.project.paths.home)}

    def start(self, *options: str, **streams: Any) -> subprocess.Popen[bytes]:
        command = [SENTINEL, "features", *options]
        return subprocess.Popen(command, cwd=self.project.paths.root, env=self.environment, **streams)

    def ingest(self, lines: Sequence[bytes], *options: str) -> dict[str, Any]:
        """Send the lines to standard input. Returns what the command answered."""
        process = self.start("ingest-stream", "--json", *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        said, _ = process.communicate(b"".join(line + b"\n" for line in lines), timeout=_TIMEOUT_S)
        assert process.returncode == 0
        return json.loads(said)

    def drain(self, *source: str) -> dict[str, Any]:
        """Read what a live source has now."""
        return self.ingest([], *source, "--drain")

    @property
    def batches(self) -> int:
        """How many the journal holds."""
        file = self.project.paths.feast(NAME) / "stream.db"
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)) as database:
                found = database.execute("SELECT value FROM state WHERE name = 'batch'").fetchone()
        except sqlite3.OperationalError:  # it is not there yet
            return 0
        return int(found[0]) if found else 0

    def wait_for_batch(self, after: int = 0) -> int:
        """Wait until the journal holds more batches than that. Returns how many."""
        until = time.monotonic() + _TIMEOUT_S
        while self.batches <= after:
            assert time.monotonic() < until, "waited in vain for a batch"
            time.sleep(0.01)
        return self.batches

    def mismatches(self, now_us: int | None = None) -> dict[Any, tuple[OnlineRow, OnlineRow | None]]:
        """The keys whose row is not that of an offline build of all rows, as of the last transaction."""
        wanted: FeatureSet = wanted_of(self.rows, self.project.rules)
        moment = us(max(known(row) for row in self.rows) + LAG) if now_us is None else now_us
        expected = offline_rows(self.rows, wanted, self.project.folder / "offline", moment)
        assert expected
        with closing(open_online(self.project.paths, NAME, self.redis_url)) as store:
            found = dict(zip(expected, store.read(list(expected)), strict=True))
        return {name: (row, found[name]) for name, row in expected.items() if found[name] != row}


def without_label(row: dict[str, Any], moment: datetime) -> dict[str, Any]:
    arrived = label_arrival(row)
    return row if arrived is None or arrived <= moment else {**row, "is_fraud": None, "label_available_at": None}


def events_since(rows: list[dict[str, Any]], cut: datetime) -> list[bytes]:
    """Transactions when they were recorded, labels when they came."""
    events = [(known(row), 0, n, transaction_line(row)) for n, row in enumerate(rows) if known(row) > cut]
    for n, row in enumerate(rows):
        arrived = label_arrival(row)
        if arrived is not None and max(arrived, known(row)) > cut:
            events.append((max(arrived, known(row)), 1, n, label_line(row)))
    return [line for *_, line in sorted(events)]
