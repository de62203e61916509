"""A bucket as Sentinel uses one: how its client is made, and how what goes wrong is told."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sentinel.config import S3Remote
from sentinel.errors import ServiceUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403"}


@dataclass(frozen=True)
class S3Place:
    """An S3 URL of the configuration. `what` and `section`: its name for people and in the configuration.

    `rights`: what its credentials must be allowed to do with objects.
    """

    settings: S3Remote
    what: str
    section: str
    rights: str

    @property
    def bucket(self) -> str:
        return self.settings.url.removeprefix("s3://").split("/", 1)[0]

    def key(self, name: str) -> str:
        prefix = self.settings.url.removeprefix(f"s3://{self.bucket}").strip("/")
        return f"{prefix}/{name}" if prefix else name

    def where(self, name: str) -> str:
        return f"s3://{self.bucket}/{self.key(name)}"


def open_client(place: S3Place, *, attempts: int = 2) -> S3Client:
    """A client whose requests are tried `attempts` times, with growing pauses between them.

    Credentials come from the usual AWS environment.
    """
    import boto3
    from botocore.config import Config as ClientConfig

    with s3_in_a_sentence(place):
        return cast("Any", boto3.Session()).client(
            "s3",
            endpoint_url=place.settings.endpoint_url,
            region_name=place.settings.region,
            config=ClientConfig(
                connect_timeout=5,
                retries={"mode": "standard", "total_max_attempts": attempts},
                response_checksum_validation="when_required",  # callers compare digests of their own
            ),
        )


@contextmanager
def s3_in_a_sentence(place: S3Place) -> Generator[None]:
    """Turn what boto3 raises into ServiceUnavailable with the cause and the mend."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    where = f"{place.settings.url} at {place.settings.endpoint_url or 'AWS'}"
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ServiceUnavailable(
            f"The {place.what} {where} needs credentials, and the environment has none ({error}). "
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and run again."
        ) from error
    except ClientError as error:
        raise ServiceUnavailable(_refusal(error, place, where)) from error
    except (BotoCoreError, ValueError) as error:
        raise ServiceUnavailable(
            f"The {place.what} {where} does not answer: {error}. Check {place.section}.url, "
            f"{place.section}.endpoint_url and {place.section}.region in the configuration and the network, and run "
            "again."
        ) from error


def error_code(error: Any) -> str:
    """What S3 calls the fault of a ClientError."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _refusal(error: Any, place: S3Place, where: str) -> str:
    code = error_code(error)
    if code == "NoSuchBucket":
        return f"The {place.what} {where} has no such bucket. Create it, or mend {place.section}.url."
    if code in _REFUSED:
        return (
            f"The {place.what} {where} refuses these credentials ({code}). They need s3:ListBucket on the bucket and "
            f"{place.rights} on its objects; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    return f"The {place.what} {where} answers with an error: {error}. Check {place.section} and run again."
