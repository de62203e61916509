"""Spark with two cores, and what it must find on the machine: `make test` installs both."""

from __future__ import annotations

import pytest

from sentinel.config import Spark
from sentinel.spark_installed import missing_for_spark

# Short jobs: compiling them well, or collecting garbage on many threads, costs more than it saves.
QUICK = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


@pytest.fixture(scope="session")
def spark() -> Spark:
    if lacking := missing_for_spark():
        pytest.skip(lacking)
    return Spark(master="local[2]", settings=QUICK)
