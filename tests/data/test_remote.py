"""The S3 remote over HTTP, against moto's server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.core import set_initial_no_auth_action_count
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from sentinel.config import Data, S3Remote
from sentinel.data.remote import copy_command, open_remote
from sentinel.errors import DataDamaged, ServiceUnavailable
from tests.data.versioned_project import FILES, Project, copy_project, flip_a_byte, md5_of, start_project, state_of

BUCKET = "transactions"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def bucket(endpoint: str, credentials: None) -> Iterator[S3Client]:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for thing in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=thing["Key"])
    client.delete_bucket(Bucket=BUCKET)


def s3_data(endpoint: str, bucket: str = BUCKET) -> Data:
    return Data(s3=S3Remote(url=f"s3://{bucket}/sentinel/data", endpoint_url=endpoint, region="us-east-1"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = start_project(tmp_path_factory.mktemp("template") / "project")
    project.ingest(seed=1)
    return project.paths.root


@pytest.fixture
def project(bucket: S3Client, endpoint: str, template: Path, tmp_path: Path) -> Project:
    """A pinned project whose embedded remote has moved to S3."""
    project = copy_project(template, tmp_path / "project")
    for path in project.paths.embedded_remote.rglob("*"):
        if path.is_file():
            key = path.relative_to(project.paths.embedded_remote).as_posix()
            bucket.upload_file(str(path), BUCKET, f"sentinel/data/{key}")
    shutil.rmtree(project.paths.embedded_remote)
    project.data = s3_data(endpoint)
    return project


def key_of(project: Project, name: str) -> str:
    return "sentinel/data/" + project.object("remote", name).relative_to(project.paths.embedded_remote).as_posix()


def test_pinned_version_comes_back_from_s3_alone(bucket: S3Client, endpoint: str, tmp_path: Path) -> None:
    project = start_project(tmp_path / "project")
    project.data = s3_data(endpoint)
    project.ingest(seed=1)
    before = state_of(project.paths.data("default"))
    shutil.rmtree(project.paths.home)
    shutil.rmtree(project.paths.data("default"))
    assert project.pull().rows == 300
    assert state_of(project.paths.data("default")) == before
    assert not project.paths.embedded_remote.exists()


@pytest.mark.parametrize("name", ["listing", *FILES])
def test_flipped_byte_in_s3_is_found_and_named(project: Project, bucket: S3Client, name: str, tmp_path: Path) -> None:
    key = key_of(project, name)
    bucket.download_file(BUCKET, key, str(tmp_path / "object"))
    flip_a_byte(tmp_path / "object", 40)
    bucket.upload_file(str(tmp_path / "object"), BUCKET, key)
    before = state_of(project.paths.root)
    with pytest.raises(DataDamaged) as raised:
        project.pull()
    said = str(raised.value)
    assert f"in the remote (s3://{BUCKET}/{key})" in said
    assert md5_of(tmp_path / "object") in said
    assert f"Mend it with: aws s3 cp {project.object('cache', name)} s3://{BUCKET}/{key} --endpoint-url http" in said
    assert state_of(project.paths.root) == before


@pytest.mark.parametrize("name", ["listing", *FILES])
def test_missing_object_in_s3_is_found_and_named(project: Project, bucket: S3Client, name: str) -> None:
    key = key_of(project, name)
    bucket.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(DataDamaged, match="it is missing") as raised:
        project.pull()
    assert f"s3://{BUCKET}/{key}" in str(raised.value)


def test_damaged_s3_object_is_never_fetched(project: Project, bucket: S3Client) -> None:
    bucket.put_object(Bucket=BUCKET, Key=key_of(project, FILES[0]), Body=b"something else")
    shutil.rmtree(project.paths.dvc_cache)
    shutil.rmtree(project.paths.data("default"))
    before = state_of(project.paths.root)
    with pytest.raises(DataDamaged, match="in the remote"):
        project.pull()
    assert state_of(project.paths.root) == before
    assert not project.paths.data("default").exists()


def test_ingesting_again_mends_the_object_in_s3(project: Project, bucket: S3Client) -> None:
    bucket.put_object(Bucket=BUCKET, Key=key_of(project, FILES[0]), Body=b"something else")
    project.ingest(seed=1)
    assert project.pull().rows == 300


def test_filler_is_for_the_embedded_remote_only(project: Project, bucket: S3Client) -> None:
    for name in ("listing", *FILES):
        bucket.delete_object(Bucket=BUCKET, Key=key_of(project, name))

    def fill(folder: Path) -> None:
        raise AssertionError("S3 is never filled")

    with pytest.raises(DataDamaged, match="s3://"):
        project.pull(fill=fill)


def test_missing_credentials_are_said(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ServiceUnavailable, match=r"needs credentials.*AWS_ACCESS_KEY_ID"):
        project.pull()


def test_missing_bucket_is_said(project: Project, endpoint: str) -> None:
    project.data = s3_data(endpoint, "no-such-bucket")
    with pytest.raises(ServiceUnavailable, match=r"no such bucket.*data\.s3\.url"):
        project.pull()


def test_endpoint_that_does_not_answer_is_said_and_nothing_is_replaced(project: Project) -> None:
    project.data = s3_data("http://127.0.0.1:9")
    before = state_of(project.paths.data("default")) | {"pointer": project.paths.pointer("default").read_text()}
    with pytest.raises(ServiceUnavailable, match=r"does not answer.*data\.s3\.endpoint_url"):
        project.pull()
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        project.ingest(seed=2)
    after = state_of(project.paths.data("default")) | {"pointer": project.paths.pointer("default").read_text()}
    assert after == before


def test_endpoint_that_is_no_address_is_said(project: Project) -> None:
    project.data = s3_data("nonsense")
    with pytest.raises(ServiceUnavailable, match="Invalid endpoint"):
        project.pull()


def test_refused_credentials_are_said(project: Project) -> None:
    pull_with_access_control = set_initial_no_auth_action_count(0)(project.pull)
    with pytest.raises(ServiceUnavailable, match=r"refuses these credentials.*s3:GetObject"):
        pull_with_access_control()


def test_local_copies_need_no_s3_command(endpoint: str, credentials: None, tmp_path: Path) -> None:
    project = start_project(tmp_path / "project")
    remote = open_remote(s3_data(endpoint), project.paths)
    assert copy_command(remote, "/a b/x", "/tmp/y") == "cp -f '/a b/x' /tmp/y"
