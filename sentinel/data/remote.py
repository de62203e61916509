"""Where the versions of the data are kept: the embedded local folder, or S3."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.config import Data, S3Remote
from sentinel.data.damage import local_copy_command
from sentinel.data.objects import BLOCK, FolderStore, object_key
from sentinel.paths import Paths
from sentinel.s3 import S3Place, open_client, s3_in_a_sentence

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class S3Store:
    """Objects below an S3 URL."""

    at: S3Place
    client: S3Client
    place: str = "remote"

    @property
    def settings(self) -> S3Remote:
        return self.at.settings

    def where(self, name: str) -> str:
        return self.at.where(object_key(name))

    def read(self, name: str) -> Iterator[bytes]:
        with s3_in_a_sentence(self.at):
            try:
                body = self.client.get_object(Bucket=self.at.bucket, Key=self.at.key(object_key(name)))["Body"]
            except self.client.exceptions.NoSuchKey as error:
                raise FileNotFoundError(self.where(name)) from error
            yield from body.iter_chunks(BLOCK)

    def remove(self, name: str) -> None:
        with s3_in_a_sentence(self.at):
            self.client.delete_object(Bucket=self.at.bucket, Key=self.at.key(object_key(name)))


RemoteStore = FolderStore | S3Store


def open_remote(data: Data, paths: Paths) -> RemoteStore:
    """The configured remote. S3 credentials come from the usual AWS environment."""
    if data.s3 is None:
        return FolderStore("remote", paths.embedded_remote)
    place = S3Place(data.s3, "data remote", "data.s3", "s3:GetObject, s3:PutObject and s3:DeleteObject")
    return S3Store(place, open_client(place))


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
