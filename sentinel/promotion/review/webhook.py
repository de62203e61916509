"""MLflow's webhook calls: signed, fresh, seen once. Such a call only starts a look; nothing in it is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from sentinel.storage import complete_file

_FRESH_S = 300  # between the sender's clock and ours, either way
_SIGNATURE, _TIMESTAMP, _DELIVERY = "x-mlflow-signature", "x-mlflow-timestamp", "x-mlflow-delivery-id"


def webhook_secret(keys: Path) -> str:
    """The secret that this machine shares with the server, made once and readable by its owner alone."""
    file = keys / "webhook.secret"
    if not file.is_file():
        keys.mkdir(parents=True, exist_ok=True)
        with complete_file(file) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(secrets.token_urlsafe(32))
    return file.read_text().strip()


class Calls:
    """Tells a call of the server's from any other; the deliveries of the last minutes are kept: none counts twice."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._seen: dict[str, float] = {}
        self._lock = Lock()

    def why_refused(self, headers: Mapping[str, str], body: bytes, now: float | None = None) -> str | None:
        """None: it is the server's, new and fresh."""
        now = time.time() if now is None else now
        headers = {name.lower(): value for name, value in headers.items()}
        delivery, sent = headers.get(_DELIVERY, ""), headers.get(_TIMESTAMP, "")
        signed = b".".join((delivery.encode(), sent.encode(), body))
        expected = base64.b64encode(hmac.new(self._secret, signed, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(f"v1,{expected}".encode(), headers.get(_SIGNATURE, "").encode()):
            return "the signature is not the server's"
        if not sent.isascii() or not sent.isdigit() or abs(now - int(sent)) > _FRESH_S:
            return "it is not fresh"
        return None if self._is_new(delivery, now) else "it was delivered before"

    def _is_new(self, delivery: str, now: float) -> bool:
        with self._lock:
            self._seen = {known: at for known, at in self._seen.items() if now - at <= 2 * _FRESH_S}
            is_new = delivery not in self._seen
            self._seen[delivery] = now
            return is_new
