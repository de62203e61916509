"""How Spark begins, speaks, fails and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sentinel.config import Features, Spark
from sentinel.errors import ConfigInvalid, SentinelError
from sentinel.features.engine import open_engine
from sentinel.features.spark.session import spark_session
from sentinel.paths import Paths
from sentinel.spark_installed import java_version, missing_for_spark, require_engine

PATIENCE_S = 120

ASKING_RUN = """
import sys
from pathlib import Path
from sentinel.config import Spark
from sentinel.features.spark.session import spark_session

settings = Spark.model_validate_json(sys.argv[1])
with spark_session(settings, scratch=Path("scratch"), log=Path("logs/spark.log")) as session:
    counted = session.range(1000).selectExpr("sum(id)").first()[0]
    from pyspark import SparkContext
    print(SparkContext._gateway.proc.pid, counted, flush=True)
    sys.stdin.read()
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.timeout(300)
def test_a_killed_run_takes_its_java_along_and_nothing_was_said_on_the_terminal(tmp_path: Path, spark: Spark) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", ASKING_RUN, spark.model_dump_json()],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert run.stdout and run.stderr
    java, counted = map(int, run.stdout.readline().split())
    assert counted == 499_500 and is_alive(java)
    run.kill()
    assert run.stderr.read() == ""
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(java) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(java)
    assert "NativeCodeLoader" in (tmp_path / "logs" / "spark.log").read_text()
    assert {path.name for path in tmp_path.iterdir()} <= {"scratch", "logs"}


@pytest.mark.timeout(300)
def test_a_failure_in_spark_is_one_sentence_and_the_program_keeps_its_own_interrupt(
    tmp_path: Path, spark: Spark
) -> None:
    log = tmp_path / "logs" / "spark.log"
    handler = signal.getsignal(signal.SIGINT)
    java = 0
    with pytest.raises(SentinelError) as caught, spark_session(spark, scratch=tmp_path, log=log) as session:
        java = session.sparkContext._gateway.proc.pid
        assert signal.getsignal(signal.SIGINT) is handler
        session.sql("SELECT raise_error('the disk is on fire')").collect()
    assert "the disk is on fire" in str(caught.value) and str(log) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not is_alive(java)


def with_java(folder: Path, version: str) -> str:
    """A JAVA_HOME whose Java only says its version."""
    command = folder / "bin" / "java"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    command.chmod(0o755)
    return str(folder)


def test_an_engine_without_pyspark_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(ConfigInvalid, match=r"run `make spark`") as caught:
        require_engine(Features(engine="spark"))
    assert caught.value.exit_code == 2
    paths = Paths(tmp_path, tmp_path)
    with pytest.raises(ConfigInvalid), open_engine(Features(engine="spark"), paths, tmp_path):
        raise AssertionError("it must not open")
    require_engine(Features(engine="duckdb"))


@pytest.mark.parametrize(
    ("version", "said"),
    [("1.8.0_392", "Java 8 is too old"), ("11.0.2", "Java 11 is too old"), (None, "there is no Java")],
)
def test_a_java_that_is_missing_or_too_old_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spark: Spark, version: str | None, said: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", with_java(tmp_path / "jdk", version) if version else str(tmp_path))
    assert str(missing_for_spark()).startswith(f"{said}: install Java 17 or newer")


def test_a_new_java_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spark: Spark) -> None:
    monkeypatch.setenv("JAVA_HOME", with_java(tmp_path, "21.0.5"))
    assert (java_version(), missing_for_spark()) == (21, None)


def test_a_setting_on_which_values_depend_is_refused(tmp_path: Path, spark: Spark) -> None:
    settings = Spark(settings={"spark.sql.session.timeZone": "Asia/Tokyo"})
    refused = pytest.raises(ConfigInvalid, match=r"spark\.sql\.session\.timeZone: Sentinel sets it")
    with refused, spark_session(settings, scratch=tmp_path, log=tmp_path / "spark.log"):
        raise AssertionError("it must not open")


@pytest.mark.parametrize(
    "section", [{"master": "127.0.0.1"}, {"settings": {"driver.memory": "1g"}}, {"masters": "local"}]
)
def test_the_section_is_checked_when_it_is_read(section: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"1 validation error"):
        Spark.model_validate_json(json.dumps(section))
