"""Each configured service: is it there, and does it let us in? One real request each, with a short time limit."""

from __future__ import annotations

import base64
import importlib
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sentinel.config import Config, S3Remote
from sentinel.doctor.finding import Finding
from sentinel.paths import Paths

TIMEOUT_SECONDS = 3.0
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}

Environment = Mapping[str, str]


def check_mlflow(config: Config, paths: Paths, environment: Environment) -> Finding:
    uri = environment.get("MLFLOW_TRACKING_URI") or config.services.mlflow_tracking_uri
    mend = "Start it (`mlflow server`), or mend MLFLOW_TRACKING_URI or services.mlflow_tracking_uri."
    if uri is None:
        return Finding("mlflow", "ok", f"embedded, in {paths.mlflow_database}")
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in ("http", "https"):
        return _ask("mlflow", f"{uri.rstrip('/')}/health", {}, uri, mend)
    if scheme in DATABASE_PORTS:
        return _connect("mlflow", uri, DATABASE_PORTS[scheme], mend)
    return Finding("mlflow", "ok", f"local, in {without_password(uri)}")


def check_prefect(config: Config, environment: Environment) -> Finding:
    url = environment.get("PREFECT_API_URL") or config.services.prefect_api_url
    if url is None:
        return Finding("prefect", "ok", "embedded; each run starts its own")
    mend = "Start it (`prefect server start`), or mend PREFECT_API_URL or services.prefect_api_url."
    headers: dict[str, str] = {}
    if login := environment.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    elif key := environment.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    return _ask("prefect", f"{url.rstrip('/')}/health", headers, url, mend)


def check_redis(config: Config, environment: Environment) -> Finding:
    url = environment.get("REDIS_URL") or config.services.redis_url
    if url is None:
        return Finding("redis", "ok", "not configured; the online store is embedded")
    redis: Any = importlib.import_module("redis")
    place = without_password(url)
    mend = "Start it (`redis-server`), or mend REDIS_URL or services.redis_url."
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS)
        with client:
            client.ping()
    except ValueError as error:
        return Finding("redis", "problem", f"{place} is no address of a Redis: {error}", mend)
    except redis.AuthenticationError as error:
        return Finding("redis", "problem", f"{place} refuses the login: {error}", "Mend user and password in the URL.")
    except (redis.RedisError, OSError) as error:
        return Finding("redis", "unreachable", f"{place} does not answer: {error}", mend)
    return Finding("redis", "ok", f"{place} answers")


def check_s3(s3: S3Remote | None, paths: Paths, environment: Environment) -> Finding:
    """A HEAD of the bucket with the usual AWS credentials."""
    if s3 is None:
        return Finding("data remote", "ok", f"embedded, in {paths.embedded_remote}")
    boto3: Any = importlib.import_module("boto3")
    exceptions: Any = importlib.import_module("botocore.exceptions")
    bucket = urlsplit(s3.url).netloc
    endpoint = s3.endpoint_url or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    place = f"{s3.url} at {without_password(endpoint) if endpoint else 'AWS'}"
    try:
        _s3_client(boto3, s3, endpoint, environment).head_bucket(Bucket=bucket)
    except exceptions.ClientError as error:
        return _refused(place, bucket, int(error.response["ResponseMetadata"]["HTTPStatusCode"]))
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.ProfileNotFound) as error:
        mend = "Give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in AWS_PROFILE."
        return Finding("data remote", "problem", f"no credentials for {place}: {error}", mend)
    except (exceptions.BotoCoreError, ValueError) as error:
        mend = "Start the S3 server, or mend data.s3.endpoint_url in the configuration."
        return Finding("data remote", "unreachable", f"{place} does not answer: {error}", mend)
    return Finding("data remote", "ok", f"{place} answers")


def _s3_client(boto3: Any, s3: S3Remote, endpoint: str | None, environment: Environment) -> Any:
    botocore: Any = importlib.import_module("botocore.config")
    session = boto3.Session(
        profile_name=environment.get("AWS_PROFILE"),
        aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        region_name=s3.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1",
    )
    limits = botocore.Config(
        connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1}
    )
    return session.client("s3", endpoint_url=endpoint, config=limits)


def _refused(place: str, bucket: str, code: int) -> Finding:
    if code == 404:
        return Finding(
            "data remote", "problem", f"{place}: there is no bucket {bucket}", "Create it, or mend data.s3.url."
        )
    if code in (400, 401, 403):
        mend = "Mend the AWS credentials, or the rights they have on the bucket."
        return Finding("data remote", "problem", f"{place} refuses the credentials (HTTP {code})", mend)
    return Finding(
        "data remote", "unreachable", f"{place} answers with HTTP {code}", "Look at the S3 server's own log."
    )


def _ask(check: str, address: str, headers: dict[str, str], configured: str, mend: str) -> Finding:
    """GET `address`; anything but success is a fault, and so is silence."""
    place = without_password(configured)
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT_SECONDS):
            return Finding(check, "ok", f"{place} answers")
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Finding(check, "problem", f"{place} refuses the login (HTTP {error.code})", "Mend its credentials.")
        return Finding(check, "unreachable", f"{place} answers with HTTP {error.code}, not as {check} does", mend)
    except (OSError, ValueError) as error:
        return Finding(check, "unreachable", f"{place} does not answer: {getattr(error, 'reason', error)}", mend)


def _connect(check: str, uri: str, port: int, mend: str) -> Finding:
    parts, place = urlsplit(uri), without_password(uri)
    try:
        socket.create_connection((parts.hostname or "localhost", parts.port or port), TIMEOUT_SECONDS).close()
    except (OSError, ValueError) as error:
        return Finding(check, "unreachable", f"{place} does not answer: {error}", mend)
    return Finding(check, "ok", f"{place} answers")


def without_password(address: str) -> str:
    """The address as it may be shown."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
