"""What fails in the tracker does not hide why a training failed."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from flows.logs import logged_run
from tasks.tracking import end_tracked, keep_mlflow_off_the_terminal


@pytest.fixture
def mlflow_logger() -> Generator[logging.Logger]:
    logger = logging.getLogger("mlflow")
    handlers, propagates = list(logger.handlers), logger.propagate
    yield logger
    logger.handlers[:], logger.propagate = handlers, propagates


class FullDisk:
    """In the place of MLflow's client and monitor."""

    def finish(self) -> None:
        pass

    def set_terminated(self, run_id: str, status: str) -> None:
        raise MlflowException("(sqlite3.OperationalError) database or disk is full\n[SQL: UPDATE runs ..]")


def test_tracker_that_cannot_end_a_failed_run_says_so_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    full = FullDisk()
    end_tracked(full, full, "r1", "FAILED")  # pyright: ignore[reportArgumentType]
    assert [record.message for record in caplog.records] == [
        "MLflow could not be told that run r1 has failed: (sqlite3.OperationalError) database or disk is full"
    ]
    with pytest.raises(MlflowException):
        end_tracked(full, full, "r1", "FINISHED")  # pyright: ignore[reportArgumentType]


def test_tracebacks_of_mlflow_go_into_the_log_alone(
    mlflow_logger: logging.Logger, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mlflow_logger.addHandler(logging.StreamHandler())
    mlflow_logger.propagate = False
    keep_mlflow_off_the_terminal()
    with logged_run("r1", tmp_path) as log:
        try:
            raise MlflowException("no room")
        except MlflowException:
            logging.getLogger("mlflow.store.db.utils").exception("SQLAlchemy database error.")
    assert "Traceback" not in capfd.readouterr().err
    assert "SQLAlchemy database error." in log.read_text() and "no room" in log.read_text()
