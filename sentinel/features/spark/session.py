"""One Spark session, as the features need it, and its end: no Java process outlives the block or its user.

Spark talks much. What its processes say goes to a log file; errors come as one sentence that names it.
"""

# pyspark carries few types, and is installed only where Spark is asked for:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingImports=false, reportMissingTypeStubs=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sentinel.config import Spark
from sentinel.errors import ConfigInvalid, SentinelError, ServiceUnavailable

_FIXED = {
    "spark.app.name": "sentinel",
    # Values that would depend on where it runs.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    # Nothing beside the data: no metastore, no marker files, no pages, no bars in the terminal.
    "spark.sql.catalogImplementation": "in-memory",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
_DEFAULTS = {"spark.driver.memory": "2g", "spark.sql.parquet.compression.codec": "zstd"}
_ON_THIS_MACHINE = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
_END_S = 30
_REASON = re.compile(
    r"(?:Exception in thread .*Exception|Reason|^org\.apache\.spark\.SparkException): (.+)$", re.MULTILINE
)
_GLOB = re.compile(r"([\\\[\]{}*?])")


@contextmanager
def spark_session(settings: Spark, *, scratch: Path, log: Path) -> Generator[Any]:
    """A session on `settings.master` whose Java process ends with the block. It spills into `scratch`.

    Raises ServiceUnavailable when the master does not answer, and SentinelError, which names `log`, for whatever goes
    wrong in Spark inside the block.
    """
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    configuration = _configuration(settings, scratch)
    log.parent.mkdir(parents=True, exist_ok=True)
    gateway = session = None
    with log.open("ab") as said:
        try:
            with _own_interrupt(), _started(settings, log):
                gateway = launch_gateway(configuration, {"stdout": said, "stderr": said})
                session = SparkSession(SparkContext(conf=configuration, gateway=gateway))
            with _in_a_sentence(settings, log):
                yield session
        finally:
            _end(session, gateway)


def file_uri(path: Path) -> str:
    """A path of this machine's (or a shared) file system, whatever Hadoop's own default is."""
    return f"file://{path.resolve()}"


def read_pattern(path: Path) -> str:
    """The same where Spark would take some characters for a pattern."""
    return _GLOB.sub(r"\\\1", file_uri(path))


def _configuration(settings: Spark, scratch: Path) -> Any:
    from pyspark import SparkConf

    if taken := sorted(_FIXED.keys() & settings.settings.keys()):
        raise ConfigInvalid(
            f"[features.spark.settings] {taken[0]}: Sentinel sets it, because values depend on it. Remove the line."
        )
    local = settings.master.startswith("local")
    places = {"spark.sql.warehouse.dir": file_uri(scratch / "warehouse")}
    if local:
        places |= {"spark.local.dir": str(scratch / "spark"), **_ON_THIS_MACHINE}
    everything = {**_DEFAULTS, **places, **settings.settings, **_FIXED, "spark.master": settings.master}
    return SparkConf(loadDefaults=False).setAll(list(everything.items()))


@contextmanager
def _own_interrupt() -> Generator[None]:
    """Spark's context puts its own handler of Ctrl-C in place of the program's: put that back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _started(settings: Spark, log: Path) -> Generator[None]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    begun = log.stat().st_size
    try:
        yield
    except (Py4JError, PySparkException, ConnectionError) as error:
        raise ServiceUnavailable(
            f"Spark did not start with master {settings.master}: {_said(log, begun) or _cause(error)}. "
            f"Look at [features.spark] in the configuration and at {log}."
        ) from None  # Spark's own errors cannot be shown any more once it has ended


@contextmanager
def _in_a_sentence(settings: Spark, log: Path) -> Generator[None]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException, ConnectionError) as error:
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            raise OSError(errno.ENOSPC, full) from None
        raise SentinelError(
            f"Spark ({settings.master}) ended with an error: {_cause(error)}. {log} says more. When memory was short, "
            'give it more: "spark.driver.memory" (on a cluster "spark.executor.memory") in [features.spark.settings].'
        ) from None


def _said(log: Path, begun: int) -> str | None:
    """The last reason in the log: at the start Spark tells it there alone."""
    found = _REASON.findall(log.read_bytes()[begun:].decode(errors="replace"))
    return found[-1].strip().rstrip(".") if found else None


def _cause(error: Exception) -> str:
    """The innermost reason in one line: Java's stack traces name it last, after where each began."""
    lines = [line.strip().removeprefix(": ") for line in str(error).splitlines() if line.strip()]
    reasons = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    spoken = [line for line in lines if not line.startswith("An error occurred while calling")]
    return [type(error).__name__, *reversed(spoken[:1]), *reasons][-1][:300].rstrip(".:")


def _end(session: Any, gateway: Any) -> None:
    """End the Java process and let a later session start one of its own. What has already failed may fail here."""
    from pyspark import SparkContext

    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a process that is gone, which is what we want
        if session is not None:
            session.stop()
    if gateway is None:
        return
    with suppress(Exception):
        gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    process: subprocess.Popen[bytes] = gateway.proc
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()  # the process ends when it can no longer read from us, also when we are killed
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
