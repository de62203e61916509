from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from sentinel.config import Config, S3Remote, Services, load_config
from sentinel.doctor.services import check_mlflow, check_prefect, check_redis, check_s3, without_password
from sentinel.paths import Paths

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(ROOT, tmp_path / "home")


def configured(**services: str) -> Config:
    config = load_config(ROOT / "configs" / "default.toml")
    return config.model_copy(update={"services": Services(**services)})


def test_without_configuration_every_service_is_the_embedded_one(paths: Paths) -> None:
    config = configured()
    found = [
        check_mlflow(config, paths, {}),
        check_prefect(config, {}),
        check_s3(None, paths, {}),
        check_redis(config, {}),
    ]
    assert {finding.status for finding in found} == {"ok"}
    assert all("embedded" in finding.found for finding in found)
    assert not paths.home.exists()


def test_a_redis_that_answers_is_well(redis_port: int) -> None:
    finding = check_redis(configured(redis_url=f"redis://:sesame@127.0.0.1:{redis_port}/0"), {})
    assert (finding.status, finding.mend) == ("ok", "")
    assert "sesame" not in finding.found


@pytest.mark.parametrize("login", ["", ":wrong@"])
def test_a_redis_that_refuses_the_login_is_a_problem_of_the_login(redis_port: int, login: str) -> None:
    finding = check_redis(configured(redis_url=f"redis://{login}127.0.0.1:{redis_port}/0"), {})
    assert finding.status == "problem"
    assert "password" in finding.mend


def test_a_redis_that_is_not_there_is_unreachable(closed_port: int) -> None:
    finding = check_redis(configured(redis_url=f"redis://:sesame@127.0.0.1:{closed_port}"), {})
    assert finding.status == "unreachable"
    assert f"127.0.0.1:{closed_port} does not answer" in finding.found
    assert "sesame" not in finding.found
    assert "redis-server" in finding.mend


def test_the_environment_wins_over_the_configuration(redis_port: int, closed_port: int) -> None:
    config = configured(redis_url=f"redis://127.0.0.1:{closed_port}")
    assert check_redis(config, {"REDIS_URL": f"redis://:sesame@127.0.0.1:{redis_port}"}).status == "ok"


def test_an_address_that_is_none_is_a_problem() -> None:
    assert check_redis(configured(redis_url="localhost:6379"), {}).status == "problem"


def test_an_mlflow_server_is_asked_for_its_health(http_answers: tuple[int, dict[str, int]], paths: Paths) -> None:
    port, codes = http_answers
    codes["/health"] = 200
    uri = f"http://127.0.0.1:{port}"
    assert check_mlflow(configured(mlflow_tracking_uri=uri), paths, {}).status == "ok"
    assert check_mlflow(configured(), paths, {"MLFLOW_TRACKING_URI": uri}).found == f"{uri} answers"


def test_an_mlflow_server_that_is_not_there_is_unreachable(closed_port: int, paths: Paths) -> None:
    finding = check_mlflow(configured(mlflow_tracking_uri=f"http://127.0.0.1:{closed_port}"), paths, {})
    assert finding.status == "unreachable"
    assert "MLFLOW_TRACKING_URI" in finding.mend


def test_a_database_behind_mlflow_is_tried_too(closed_port: int, redis_port: int, paths: Paths) -> None:
    uri = "postgresql+psycopg2://user:secret@127.0.0.1:{}/mlflow"
    silent = check_mlflow(configured(mlflow_tracking_uri=uri.format(closed_port)), paths, {})
    assert silent.status == "unreachable" and "secret" not in silent.found
    assert check_mlflow(configured(mlflow_tracking_uri=uri.format(redis_port)), paths, {}).status == "ok"


def test_another_server_at_the_address_of_prefect_is_found(http_answers: tuple[int, dict[str, int]]) -> None:
    port, codes = http_answers
    config = configured(prefect_api_url=f"http://127.0.0.1:{port}/api")
    assert check_prefect(config, {}).found.endswith("answers with HTTP 404, not as prefect does")
    codes["/api/health"] = 401
    assert check_prefect(config, {"PREFECT_API_AUTH_STRING": "me:wrong"}).status == "problem"
    codes["/api/health"] = 200
    assert check_prefect(config, {}).status == "ok"


def test_an_s3_server_is_asked_for_the_bucket(paths: Paths, closed_port: int) -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="transactions")
        there = S3Remote(url="s3://transactions/versions", endpoint_url=endpoint)
        elsewhere = S3Remote(url="s3://transaction/versions", endpoint_url=endpoint)
        assert check_s3(there, paths, CREDENTIALS).status == "ok"
        missing = check_s3(elsewhere, paths, CREDENTIALS)
        assert (missing.status, "no bucket transaction" in missing.found) == ("problem", True)
    finally:
        server.stop()
    silent = check_s3(S3Remote(url="s3://b", endpoint_url=f"http://127.0.0.1:{closed_port}"), paths, CREDENTIALS)
    assert silent.status == "unreachable"


def test_passwords_are_never_shown() -> None:
    assert without_password("redis://user:sesame@host:6379/0") == "redis://host:6379/0"
    assert without_password("http://host/path") == "http://host/path"
