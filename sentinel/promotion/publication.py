"""A release in S3 under its digest: <url>/<name>/<digest>/<file>, manifest.json last, and nothing is ever overwritten.

Every object is sent with its SHA-256, written only where none is (`If-None-Match: *`), and read back. What is there
already and is the same is kept, so that a repeat completes what was broken off.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.artifacts import MANIFEST, SIGNATURE
from sentinel.config import S3Remote
from sentinel.errors import RecordInvalid
from sentinel.progress import Progress, silent
from sentinel.promotion.keys import read_public
from sentinel.promotion.manifest import Kept, Manifest, read_manifest
from sentinel.promotion.signature import sentences_against_bundle
from sentinel.s3 import S3Place, error_code, open_client, s3_in_a_sentence
from sentinel.storage import sha256_file

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MULTIPART_ABOVE = 64_000_000  # bytes
_PART = 8 << 20
_BLOCK = 1 << 20
_ATTEMPTS = 5  # of each request; the pauses between them double
_ONLY_WHERE_NONE_IS = "*"

_log = logging.getLogger(__name__)


@dataclass
class Bucket:
    """Where releases are published. `condition` is emptied for a store that does not know `If-None-Match`."""

    place: S3Place
    client: S3Client
    condition: dict[str, Any]
    multipart_above: int = MULTIPART_ABOVE


def publish_release(
    folder: Path,
    digest: str,
    settings: S3Remote,
    publics: list[Path],
    *,
    multipart_above: int = MULTIPART_ABOVE,
    progress: Progress = silent,
) -> str:
    """Publish the release in `folder`; its URL. `publics`: whose signatures of it are taken for the same.

    Raises RecordInvalid for an object that is there with other content, ServiceUnavailable when S3 does not do it.
    """
    manifest = read_manifest(folder)
    if manifest.sha256 != digest:
        raise RecordInvalid(f"The release in {folder} has the digest {manifest.sha256[:16]}, and not {digest[:16]}.")
    place = _place(settings)
    bucket = Bucket(place, open_client(place, attempts=_ATTEMPTS), {"IfNoneMatch": _ONLY_WHERE_NONE_IS})
    bucket.multipart_above = multipart_above
    under = f"{manifest.name}/{digest}"
    files = _in_order(folder, manifest)
    is_asked = False
    with s3_in_a_sentence(place):
        for done, (path, kept) in enumerate(files.items()):
            progress(done, len(files), path)
            key = place.key(f"{under}/{path}")
            if _size_of(bucket, key) is None and _write(bucket, key, folder / path, kept):
                is_asked = is_asked or _ask_for_protection(bucket, key, folder / path, kept)
            if fault := _fault(bucket, key, kept):
                _require_signature(bucket, path, key, fault, manifest, publics)
    progress(len(files), len(files), "")
    return place.where(under)


def is_published(name: str, digest: str, settings: S3Remote) -> bool:
    """Whether the release is whole there: its manifest is written last."""
    place = _place(settings)
    with s3_in_a_sentence(place):
        bucket = Bucket(place, open_client(place, attempts=_ATTEMPTS), {})
        return _size_of(bucket, place.key(f"{name}/{digest}/{MANIFEST}")) is not None


def _place(settings: S3Remote) -> S3Place:
    return S3Place(settings, "store of releases", "release.s3", "s3:GetObject and s3:PutObject")


def _in_order(folder: Path, manifest: Manifest) -> dict[str, Kept]:
    """Small files first, and the manifest last."""
    files = dict(sorted(manifest.files.items(), key=lambda item: (item[1].bytes, item[0])))
    for own in (SIGNATURE, MANIFEST):
        files[own] = Kept(sha256_file(folder / own), (folder / own).stat().st_size)
    return files


def _size_of(bucket: Bucket, key: str) -> int | None:
    from botocore.exceptions import ClientError

    try:
        return int(bucket.client.head_object(Bucket=bucket.place.bucket, Key=key)["ContentLength"])
    except ClientError as error:
        if error_code(error) in ("404", "NoSuchKey"):
            return None
        raise


def _write(bucket: Bucket, key: str, file: Path, kept: Kept) -> bool:
    """Whether the object was written; not when another writer was quicker."""
    from botocore.exceptions import ClientError

    try:
        _send(bucket, key, file, kept)
        return True
    except ClientError as error:
        if error_code(error) == "PreconditionFailed":
            return False
        if error_code(error) != "NotImplemented" or not bucket.condition:
            raise
    _warn_of_overwriting(bucket)
    _send(bucket, key, file, kept)
    return True


def _send(bucket: Bucket, key: str, file: Path, kept: Kept) -> None:
    if kept.bytes > bucket.multipart_above:
        _send_parts(bucket, key, file)
        return
    with file.open("rb") as content:
        bucket.client.put_object(
            Bucket=bucket.place.bucket,
            Key=key,
            Body=content,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=base64.b64encode(bytes.fromhex(kept.sha256)).decode(),
            **bucket.condition,
        )


def _send_parts(bucket: Bucket, key: str, file: Path) -> None:
    """Each part with its checksum; what was sent of an upload that fails is given up."""
    where: Any = {"Bucket": bucket.place.bucket, "Key": key}
    upload: Any = {
        **where,
        "UploadId": bucket.client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"],
    }
    try:
        parts: list[Any] = []
        for number, part in enumerate(_blocks(file), start=1):
            checksum = base64.b64encode(hashlib.sha256(part).digest()).decode()
            sums: Any = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}
            sent = bucket.client.upload_part(**upload, **sums, PartNumber=number, Body=part)
            parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum})
        bucket.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **bucket.condition)
    except BaseException:
        with suppress(Exception):  # the fault that is told is the one that ended the upload
            bucket.client.abort_multipart_upload(**upload)
        raise


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while part := content.read(_PART):
            yield part


def _ask_for_protection(bucket: Bucket, key: str, file: Path, kept: Kept) -> bool:
    """Write the same object once more: a store that lets that happen ignores the condition, and that is told."""
    if bucket.condition and _write(bucket, key, file, kept):
        _warn_of_overwriting(bucket)
    return True


def _warn_of_overwriting(bucket: Bucket) -> None:
    bucket.condition = {}
    _log.warning(
        "%s does not honour If-None-Match: each object is looked for before it is written, but of two writers at the "
        "same moment one could overwrite the other. A newer store refuses that.", bucket.place.settings.url,
    )  # fmt: skip


def _fault(bucket: Bucket, key: str, kept: Kept) -> str:
    """What differs between the stored object and the file: asked for, then read back."""
    where: Any = {"Bucket": bucket.place.bucket, "Key": key}
    head = bucket.client.head_object(**where, ChecksumMode="ENABLED")
    told = head.get("ChecksumSHA256", "")
    if head["ContentLength"] != kept.bytes:
        return f"it has {head['ContentLength']} bytes, and the file {kept.bytes}"
    is_whole = "-" not in f"{told}{head['ETag']}"  # of an object in parts it is the sum of their sums
    if told and is_whole and base64.b64decode(told).hex() != kept.sha256:
        return f"its SHA-256 is {base64.b64decode(told).hex()[:16]}, and the file's {kept.sha256[:16]}"
    found = hashlib.sha256()
    for block in bucket.client.get_object(**where)["Body"].iter_chunks(_BLOCK):
        found.update(block)
    return "" if found.hexdigest() == kept.sha256 else f"its bytes have the SHA-256 {found.hexdigest()[:16]}"


def _require_signature(
    bucket: Bucket, path: str, key: str, fault: str, manifest: Manifest, publics: list[Path]
) -> None:
    """Another signature of the same release is as good: the one that was published first stays."""
    if path == SIGNATURE:
        stored = bucket.client.get_object(Bucket=bucket.place.bucket, Key=key)["Body"].read()
        if not sentences_against_bundle(stored, manifest, [read_public(public) for public in publics]):
            return
    raise RecordInvalid(
        f"s3://{bucket.place.bucket}/{key} is there already and is not this release's {path}: {fault}. Nothing is "
        "overwritten. See who wrote it, move it away, and run again."
    )
