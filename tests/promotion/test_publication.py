"""Releases in S3 over HTTP, against moto's server, and against that server behind one that misbehaves."""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from sentinel.config import S3Remote
from sentinel.errors import RecordInvalid, ServiceUnavailable
from sentinel.promotion.keys import create_keys, public_keys
from sentinel.promotion.manifest import write_manifest
from sentinel.promotion.publication import is_published, publish_release
from sentinel.promotion.signing import sign_release

BUCKET = "releases"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def bucket(endpoint: str) -> Iterator[S3Client]:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for thing in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=thing["Key"])
    client.delete_bucket(Bucket=BUCKET)


class Signed:
    """A folder with a manifest and a signature, as far as publishing looks at one."""

    def __init__(self, home: Path, large_bytes: int = 0) -> None:
        create_keys(home / "keys")
        self.keys, self.folder = home / "keys", home / "tests"
        (self.folder / "evidence").mkdir(parents=True)
        (self.folder / "threshold.json").write_text("{}")
        (self.folder / "evidence" / "scores.parquet").write_bytes(b"scores" * 1000)
        with (self.folder / "model.onnx").open("wb") as model:
            model.write(b"graph")
            model.truncate(5 + large_bytes)
        self.digest = write_manifest(self.folder, "tests")
        sign_release(self.folder, self.keys / "signing.key")

    def publish(self, endpoint: str, **settings: int) -> str:
        return publish_release(self.folder, self.digest, at(endpoint), public_keys(self.keys), **settings)

    def key(self, name: str) -> str:
        return f"sentinel/tests/{self.digest}/{name}"


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path / "home")


def at(endpoint: str, bucket: str = BUCKET) -> S3Remote:
    return S3Remote(url=f"s3://{bucket}/sentinel", endpoint_url=endpoint, region="us-east-1")


def stored(client: S3Client) -> dict[str, bytes]:
    found = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {one["Key"]: client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in found}


def test_release_lies_under_its_digest_with_checksums_and_a_repeat_changes_nothing(
    bucket: S3Client, endpoint: str, signed: Signed
) -> None:
    assert not is_published("tests", signed.digest, at(endpoint))

    url = signed.publish(endpoint)

    assert url == f"s3://{BUCKET}/sentinel/tests/{signed.digest}"
    files = [path for path in signed.folder.rglob("*") if path.is_file()]
    expected = {signed.key(path.relative_to(signed.folder).as_posix()): path.read_bytes() for path in files}
    assert stored(bucket) == expected
    for key, content in expected.items():
        told = bucket.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")["ChecksumSHA256"]
        assert base64.b64decode(told) == hashlib.sha256(content).digest()
    written = {one["Key"]: one["LastModified"] for one in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert signed.publish(endpoint) == url
    assert {one["Key"]: one["LastModified"] for one in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]} == written
    assert is_published("tests", signed.digest, at(endpoint))


@pytest.mark.parametrize(
    ("name", "same_length"),
    [("model.onnx", True), ("manifest.json", True), ("model.sig", True), ("evidence/scores.parquet", False)],
)
def test_object_with_other_content_is_named_and_not_overwritten(
    bucket: S3Client, endpoint: str, signed: Signed, name: str, same_length: bool
) -> None:
    other = b"x" * (signed.folder / name).stat().st_size if same_length else b"something else"
    bucket.put_object(Bucket=BUCKET, Key=signed.key(name), Body=other)

    with pytest.raises(RecordInvalid, match=f"{signed.key(name)} is there already.*Nothing is overwritten"):
        signed.publish(endpoint)

    assert stored(bucket)[signed.key(name)] == other
    assert name == "manifest.json" or signed.key("manifest.json") not in stored(bucket)


def test_other_signature_of_the_same_release_is_as_good_and_stays(
    bucket: S3Client, endpoint: str, signed: Signed
) -> None:
    signed.publish(endpoint)
    before = stored(bucket)
    (signed.folder / "model.sig").unlink()
    sign_release(signed.folder, signed.keys / "signing.key")
    assert (signed.folder / "model.sig").read_bytes() != before[signed.key("model.sig")]

    signed.publish(endpoint)

    assert stored(bucket) == before


def test_large_file_goes_up_in_parts_that_are_checked_and_is_never_overwritten(
    bucket: S3Client, endpoint: str, tmp_path: Path
) -> None:
    large = Signed(tmp_path / "home", large_bytes=17 << 20)

    large.publish(endpoint, multipart_above=10_000_000)

    head = bucket.head_object(Bucket=BUCKET, Key=large.key("model.onnx"), ChecksumMode="ENABLED")
    assert head["ContentLength"] == (17 << 20) + 5
    assert head["ETag"].strip('"').endswith("-3")
    assert bucket.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    large.publish(endpoint, multipart_above=10_000_000)

    bucket.put_object(Bucket=BUCKET, Key=large.key("model.onnx"), Body=b"other")
    with pytest.raises(RecordInvalid, match=r"model\.onnx is there already"):
        large.publish(endpoint, multipart_above=10_000_000)


Answer = tuple[int, bytes] | None  # None: what the server behind it answers


@contextmanager
def between(endpoint: str, misbehave: Callable[[str, str, dict[str, str]], Answer]) -> Iterator[str]:
    """A server before moto's that answers itself where `misbehave` (method, path, headers) says so."""
    host = endpoint.removeprefix("http://")

    class Between(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            if self.headers.get("Expect", "").lower() == "100-continue":
                pass  # the base class has told the client to go on
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = dict(self.headers.items())
            own = misbehave(self.command, self.path, headers)
            if own is None:
                onward = http.client.HTTPConnection(host, timeout=30)
                onward.request(self.command, self.path, body, headers)
                got = onward.getresponse()
                status, content, told = got.status, got.read(), got.getheaders()
                onward.close()
            else:
                status, content, told = own[0], own[1], [("Content-Type", "application/xml")]
            if status == 0:
                self.close_connection = True
                return
            self.send_response_only(status)
            length = "Content-Length"
            for name, value in told:
                if name.lower() not in ("transfer-encoding", "connection", length.lower()):
                    self.send_header(name, value)
            is_head = self.command == "HEAD"
            self.send_header(length, str(dict(told).get(length, 0) if is_head else len(content)))
            self.end_headers()
            if not is_head:
                self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def test_server_that_fails_a_few_times_is_asked_again(bucket: S3Client, endpoint: str, signed: Signed) -> None:
    failures = [503, 500]

    def fail_first(method: str, path: str, headers: dict[str, str]) -> Answer:
        return (failures.pop(), error("SlowDown")) if method == "PUT" and failures else None

    with between(endpoint, fail_first) as flaky:
        signed.publish(flaky)
    assert failures == []
    assert is_published("tests", signed.digest, at(endpoint))


def test_connection_that_breaks_is_a_sentence_and_a_repeat_completes(
    bucket: S3Client, endpoint: str, signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel.promotion.publication._ATTEMPTS", 1)
    with (
        between(endpoint, lambda method, path, headers: (0, b"") if "model.onnx" in path else None) as broken,
        pytest.raises(ServiceUnavailable, match=r"does not answer.*release\.s3\.endpoint_url"),
    ):
        signed.publish(broken)
    assert not is_published("tests", signed.digest, at(endpoint))

    signed.publish(endpoint)
    assert is_published("tests", signed.digest, at(endpoint))


@pytest.mark.parametrize("kind", ["lacks", "ignores"])
def test_store_without_if_none_match_is_told_and_still_not_overwritten(
    bucket: S3Client, endpoint: str, signed: Signed, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def without(method: str, path: str, headers: dict[str, str]) -> Answer:
        if headers.pop("If-None-Match", None) and kind == "lacks":
            return (501, error("NotImplemented"))
        return None

    with between(endpoint, without) as older:
        with caplog.at_level(logging.WARNING):
            signed.publish(older)
        assert caplog.text.count("does not honour If-None-Match") == 1
        bucket.put_object(Bucket=BUCKET, Key=signed.key("model.onnx"), Body=b"other")
        with pytest.raises(RecordInvalid, match=r"model\.onnx is there already"):
            signed.publish(older)
    assert stored(bucket)[signed.key("model.onnx")] == b"other"


def test_store_that_keeps_other_bytes_than_it_was_sent_is_found(
    bucket: S3Client, endpoint: str, signed: Signed
) -> None:
    def damage(method: str, path: str, headers: dict[str, str]) -> Answer:
        return (200, b"scares" * 1000) if method == "GET" and "scores" in path else None

    with between(endpoint, damage) as damaging, pytest.raises(RecordInvalid, match=r"scores\.parquet.*SHA-256"):
        signed.publish(damaging)
    assert not is_published("tests", signed.digest, at(endpoint))


def test_missing_bucket_and_credentials_and_server_are_said(
    bucket: S3Client, endpoint: str, signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceUnavailable, match=r"store of releases .* no such bucket.*release\.s3\.url"):
        publish_release(signed.folder, signed.digest, at(endpoint, "no-such-bucket"), [])
    monkeypatch.setattr("sentinel.promotion.publication._ATTEMPTS", 1)
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        signed.publish("http://127.0.0.1:9")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ServiceUnavailable, match=r"needs credentials.*AWS_ACCESS_KEY_ID"):
        signed.publish(endpoint)


def test_private_key_never_leaves(bucket: S3Client, endpoint: str, signed: Signed) -> None:
    shutil.copy(signed.keys / "signing.key", signed.folder / "not listed")
    signed.publish(endpoint)
    assert not any(b"PRIVATE" in content for content in stored(bucket).values())


def test_another_release_than_the_wanted_one_is_not_published(endpoint: str, signed: Signed) -> None:
    with pytest.raises(RecordInvalid, match="has the digest"):
        publish_release(signed.folder, "0" * 64, at(endpoint), [])
