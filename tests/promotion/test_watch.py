"""A real MLflow server calls by its webhook, and the answer is acted upon; calls of anybody else are refused."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import build_app
from sentinel.artifacts import Release
from sentinel.errors import ConfigInvalid, ServiceUnavailable
from sentinel.paths import Paths
from sentinel.promotion.mlflow_server import connect
from sentinel.promotion.registry import Registry
from sentinel.promotion.review.look import look_for_answers
from sentinel.promotion.review.registration import ensure_webhook
from sentinel.promotion.review.watch import listening, watch
from sentinel.promotion.review.webhook import Calls, webhook_secret
from sentinel.promotion.store.contract import Change
from tests.conftest import ROOT
from tests.promotion.releases import NOW, WAITING, decide, laid_out, reviewed

Made = list[tuple[Release, Path]]
SECRET = "a secret of the server"
PATIENCE_S = 60


@pytest.fixture
def waiting(server: str, releases: Made, tmp_path: Path) -> Registry:
    registry = Registry(server, f"model-{tmp_path.name}".lower(), Paths(tmp_path, tmp_path / "home"))
    decide(registry, registry.register(laid_out(registry, releases[0])), WAITING)
    return registry


def test_tag_set_on_the_server_is_acted_upon_at_its_call(waiting: Registry) -> None:
    called, ended = threading.Event(), threading.Event()
    looks: list[list[str]] = []
    first = threading.Event()

    def look() -> None:
        looks.append([one.kind for one in look_for_answers(reviewed(waiting), NOW + timedelta(hours=1))])
        first.set()
        if waiting.catalogue().champion:
            ended.set()
            called.set()

    with listening("127.0.0.1", 0, Calls(SECRET), called) as url:
        hooks = {ensure_webhook(waiting.tracking_uri, waiting.name, url, secret) for secret in ("former", SECRET)}
        assert len(hooks) == 1  # made once, then mended
        watcher = threading.Thread(target=watch, args=(look, called, ended, 10 * PATIENCE_S), daemon=True)
        watcher.start()
        assert first.wait(PATIENCE_S) and looks == [[]]
        client = connect(waiting.tracking_uri)
        client.set_model_version_tag(waiting.name, "1", "review", "approved")
        client.set_model_version_tag(waiting.name, "1", "reviewer", "Bob")
        watcher.join(PATIENCE_S)
    client.delete_webhook(hooks.pop())
    assert ["promoted"] in looks
    assert waiting.chain()[-1]["decided_by"] == "reviewer Bob"  # set a moment after the answer itself


def test_command_watches_until_it_is_ended(
    embedded: Registry, releases: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a server: a look every few seconds. Ended by SIGTERM, it ends well."""
    decide(embedded, embedded.register(laid_out(embedded, releases[0])), WAITING)
    config = (ROOT / "configs" / "default.toml").read_text().replace('name = "default"', f'name = "{embedded.name}"')
    rules = '[promotion]\nreview = "manual"\nreview_check_seconds = 5\nreview_expires_after = "36500d"\n'
    (tmp_path / "own.toml").write_text(f"{config}\n{rules}")
    monkeypatch.setenv("SENTINEL_HOME", str(embedded.paths.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", embedded.tracking_uri)
    monkeypatch.chdir(ROOT)
    embedded.store().apply(Change(tags={"1": {"review": "rejected"}}))

    def end_when_answered() -> None:
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up and embedded.chain()[-1]["outcome"] != "rejected":
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda *_: None)  # should the command end earlier than it is told
    watcher = threading.Thread(target=end_when_answered, daemon=True)
    watcher.start()
    try:
        words = ["models", "watch", "--listen", "127.0.0.1:0", "--config", str(tmp_path / "own.toml")]
        done = CliRunner().invoke(build_app(), words)
        watcher.join(PATIENCE_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert done.exit_code == 0, done.output
    assert [entry["outcome"] for entry in embedded.chain()] == ["waiting", "rejected"]


def test_look_that_fails_does_not_end_the_watch() -> None:
    ended = threading.Event()
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            ended.set()
        raise ServiceUnavailable("It does not answer.")

    watch(look, threading.Event(), ended, 0.001)
    assert len(looks) == 3


def signed(body: bytes, *, delivery: str = "1", at: float = 1000.0, secret: str = SECRET) -> dict[str, str]:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    sent = str(int(at))
    signature = _generate_hmac_signature(secret, delivery, sent, body.decode())
    return {"X-MLflow-Signature": signature, "X-MLflow-Timestamp": sent, "X-MLflow-Delivery-Id": delivery}


def test_call_is_believed_only_signed_fresh_and_once() -> None:
    body, calls = b'{"data": {"name": "x"}}', Calls(SECRET)
    assert calls.why_refused(signed(body), body, 1000.0) is None
    assert calls.why_refused(signed(body), body, 1001.0) == "it was delivered before"
    for headers, content, now in (
        (signed(body, delivery="2"), body + b" ", 1000.0),
        (signed(body, delivery="3", secret="another"), body, 1000.0),
        ({**signed(body, delivery="4"), "X-MLflow-Timestamp": "1001"}, body, 1000.0),
        ({}, body, 1000.0),
        ({**signed(body), "X-MLflow-Signature": "v1,é"}, body, 1000.0),
    ):
        assert calls.why_refused(headers, content, now) == "the signature is not the server's"
    for now in (600.0, 1400.0):
        assert calls.why_refused(signed(body, delivery="5"), body, now) == "it is not fresh"


def test_listener_refuses_whatever_is_not_the_servers() -> None:
    called = threading.Event()
    with listening("127.0.0.1", 0, Calls(SECRET), called) as url:
        port = int(url.rpartition(":")[2])
        assert [
            _post(port, b"{}", {"X-MLflow-Signature": "v1,x"}),
            _post(port, b"{}", {"Content-Length": "9" * 12}),
            _post(port, b"{}", {"Content-Length": "-1"}),
        ] == [401, 413, 413]
        with pytest.raises(ConfigInvalid, match="--listen"), listening("127.0.0.1", port, Calls(SECRET), called):
            pass
    assert not called.is_set()


def test_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert webhook_secret(keys) == webhook_secret(keys)
    assert (keys / "webhook.secret").stat().st_mode & 0o077 == 0


def test_server_that_takes_no_such_webhook_is_told_with_what_to_set(server: str) -> None:
    with pytest.raises(ServiceUnavailable, match="MLFLOW_WEBHOOK_ALLOWED_SCHEMES"):
        ensure_webhook(server, "x", "ftp://127.0.0.1/", SECRET)


def _post(port: int, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/", body, {"Content-Length": str(len(body)), **headers})
    status = connection.getresponse().status
    connection.close()
    return status
