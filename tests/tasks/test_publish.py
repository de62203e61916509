"""A release is published where the configuration says so, and once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from sentinel.artifacts import Libraries, PublishedRelease, Release
from sentinel.config import S3Remote, load_config
from sentinel.paths import Paths
from sentinel.progress import silent
from tasks.libraries import libraries
from tasks.publish import publish, publish_where_configured
from tasks.run import Code, Run
from tasks.stage import Work
from tests.conftest import ROOT
from tests.promotion.test_publication import BUCKET, Signed, bucket, credentials, endpoint

__all__ = ["bucket", "credentials", "endpoint"]  # fixtures


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = load_config(ROOT / "configs" / "default.toml")
    lock = ROOT / "requirements" / "cpu.lock"
    return Run("r", config, Paths(ROOT, tmp_path), "sqlite://", lock, "lock", Code("c", True))


def with_s3(run: Run, endpoint: str) -> Run:
    s3 = S3Remote(url=f"s3://{BUCKET}/sentinel", endpoint_url=endpoint, region="us-east-1")
    release = run.config.release.model_copy(update={"s3": s3})
    return replace(run, config=run.config.model_copy(update={"release": release, "name": "tests"}))


def test_release_is_published_where_configured_and_looked_for_there_later(
    run: Run, bucket: S3Client, endpoint: str
) -> None:
    signed = Signed(run.paths.home)
    release = Release(path="tests", sha256=signed.digest, run_id="r", passed=True, model_sha256="b" * 64)
    assert publish_where_configured(run, release) is None
    run = with_s3(run, endpoint)

    published = publish.body(Work(run, run.paths.home / "out", silent), release)

    url = f"s3://{BUCKET}/sentinel/tests/{signed.digest}"
    assert published == PublishedRelease(path="tests", sha256=signed.digest, url=url)
    assert published.holds(run.paths.home)
    assert publish.is_still_there(run, published)
    bucket.delete_object(Bucket=BUCKET, Key=signed.key("manifest.json"))
    assert not publish.is_still_there(run, published)


def test_libraries_that_could_not_be_checked_are_looked_up_again_once_a_database_answers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel.promotion.library_audit.database_answers", lambda *_: False)
    out = run.paths.stage("default", "libraries", "k" * 64)

    made = libraries.body(Work(run, out, silent))

    assert made.holds(run.paths.home) and not made.checked
    assert sorted(file.name for file in out.iterdir()) == ["bom.json", "libraries.json"]
    assert libraries.is_still_there(run, made)
    monkeypatch.setattr("sentinel.promotion.library_audit.database_answers", lambda *_: True)
    assert not libraries.is_still_there(run, made)
    assert libraries.is_still_there(run, Libraries(path=made.path, sha256=made.sha256, checked=True))
