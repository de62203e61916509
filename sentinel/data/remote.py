"""Where the versions of the data are kept: the embedded local folder, or S3."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sentinel.config import Data, S3Remote
from sentinel.data.damage import local_copy_command
from sentinel.data.objects import BLOCK, FolderStore, object_key
from sentinel.errors import ServiceUnavailable
from sentinel.paths import Paths

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403"}


@dataclass(frozen=True)
class S3Store:
    """Objects below an S3 URL."""

    settings: S3Remote
    client: S3Client
    place: str = "remote"

    @property
    def bucket(self) -> str:
        return self.settings.url.removeprefix("s3://").split("/", 1)[0]

    def key(self, name: str) -> str:
        prefix = self.settings.url.removeprefix(f"s3://{self.bucket}").strip("/")
        return f"{prefix}/{object_key(name)}" if prefix else object_key(name)

    def where(self, name: str) -> str:
        return f"s3://{self.bucket}/{self.key(name)}"

    def read(self, name: str) -> Iterator[bytes]:
        with s3_in_a_sentence(self.settings):
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=self.key(name))["Body"]
            except self.client.exceptions.NoSuchKey as error:
                raise FileNotFoundError(self.where(name)) from error
            yield from body.iter_chunks(BLOCK)

    def remove(self, name: str) -> None:
        with s3_in_a_sentence(self.settings):
            self.client.delete_object(Bucket=self.bucket, Key=self.key(name))


RemoteStore = FolderStore | S3Store


def open_remote(data: Data, paths: Paths) -> RemoteStore:
    """The configured remote. S3 credentials come from the usual AWS environment."""
    if data.s3 is None:
        return FolderStore("remote", paths.embedded_remote)
    import boto3
    from botocore.config import Config as ClientConfig

    with s3_in_a_sentence(data.s3):
        client: S3Client = cast("Any", boto3.Session()).client(
            "s3",
            endpoint_url=data.s3.endpoint_url,
            region_name=data.s3.region,
            config=ClientConfig(connect_timeout=5, retries={"total_max_attempts": 2}),
        )
    return S3Store(data.s3, client)


def dvc_settings(remote: RemoteStore) -> dict[str, Any]:
    """The remote as a section of DVC's configuration."""
    if isinstance(remote, FolderStore):
        return {"url": str(remote.folder), "verify": True}
    settings = {"endpointurl": remote.settings.endpoint_url, "region": remote.settings.region}
    return {"url": remote.settings.url, "verify": True, **{key: value for key, value in settings.items() if value}}


def copy_command(remote: RemoteStore, source: str, target: str) -> str:
    """The shell command that copies one object from or to `remote`, or between local places."""
    if isinstance(remote, FolderStore) or not any(place.startswith("s3://") for place in (source, target)):
        return local_copy_command(source, target)
    endpoint = remote.settings.endpoint_url
    words = ["aws", "s3", "cp", source, target, *(["--endpoint-url", endpoint] if endpoint else [])]
    return " ".join(shlex.quote(word) for word in words)


@contextmanager
def s3_in_a_sentence(settings: S3Remote) -> Generator[None]:
    """Turn what boto3 raises into ServiceUnavailable with the cause and the mend."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    where = f"{settings.url} at {settings.endpoint_url or 'AWS'}"
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ServiceUnavailable(
            f"The data remote {where} needs credentials, and the environment has none ({error}). "
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and run again."
        ) from error
    except ClientError as error:
        raise ServiceUnavailable(_refusal(error, where)) from error
    except (BotoCoreError, ValueError) as error:
        raise ServiceUnavailable(
            f"The data remote {where} does not answer: {error}. Check data.s3.url, data.s3.endpoint_url and "
            "data.s3.region in the configuration and the network, and run again."
        ) from error


def _refusal(error: Any, where: str) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        return f"The data remote {where} has no such bucket. Create it, or mend data.s3.url in the configuration."
    if code in _REFUSED:
        return (
            f"The data remote {where} refuses these credentials ({code}). They need s3:ListBucket on the bucket and "
            "s3:GetObject, s3:PutObject and s3:DeleteObject on its objects; check AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    return f"The data remote {where} answers with an error: {error}. Check data.s3 in the configuration and run again."
