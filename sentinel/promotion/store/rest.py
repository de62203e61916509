"""The registry behind an MLflow server, by its REST API: importing MLflow's own client takes seconds.

It logs in as MLflow's client does, by the usual MLFLOW_TRACKING_* variables or ~/.mlflow/credentials.
"""

from __future__ import annotations

import configparser
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import requests

from sentinel.errors import RecordInvalid, ServiceUnavailable
from sentinel.promotion.catalogue import CHAMPION, Catalogue, StoredVersion
from sentinel.promotion.store.contract import Change, Swap, moved

_TIMEOUT_S = (5, 30)  # to connect, and for each answer
_PAUSES_S = (0.3, 1.0)  # before it is asked again; whatever is asked may be asked twice
_BUSY = (429, 502, 503, 504)
_PAGE = 200
_UNKNOWN = "RESOURCE_DOES_NOT_EXIST"
_NEEDS_THE_CLIENT = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_ENABLE_WORKSPACES")

Environment = Mapping[str, str]


def can_log_in(environment: Environment) -> bool:
    """Whether this module knows the way in; a plug-in of MLflow's, or its workspaces, are known to its client alone."""
    return not any(environment.get(name) for name in _NEEDS_THE_CLIENT)


def open_http(environment: Environment) -> requests.Session:
    """A session with the login and the certificates that MLflow's client would use."""
    session = requests.Session()
    user, password = _login(environment)
    if user and password:
        session.auth = (user, password)
    elif token := environment.get("MLFLOW_TRACKING_TOKEN"):
        session.headers["Authorization"] = f"Bearer {token}"
    if environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true"):
        session.verify = False
    elif authority := environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        session.verify = authority
    if certificate := environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        session.cert = certificate
    return session


@dataclass(frozen=True)
class RestStore:
    uri: str
    name: str
    session: requests.Session

    def catalogue(self) -> Catalogue:
        model = self._ask("GET", "registered-models/get", {"name": self.name}, unknown_is_none=True)
        if model is None:
            return Catalogue(self.name, {}, ())
        listed = cast("list[dict[str, Any]]", model["registered_model"].get("aliases", []))
        aliases = {str(one["alias"]): str(one["version"]) for one in listed}
        return Catalogue(self.name, aliases, tuple(sorted(self._versions(), key=lambda one: -int(one.version))))

    def apply(self, change: Change) -> None:
        if change.champion is not None:
            self._swap(change.champion)
        for alias, version in change.aliases.items():
            self._set_alias(alias, version)
        for version, tags in change.tags.items():
            for key, value in tags.items():
                tag = {"name": self.name, "version": version, "key": key, "value": value}
                self._ask("POST", "model-versions/set-tag", tag)
        for version, text in change.descriptions.items():
            described = {"name": self.name, "version": version, "description": text}
            self._ask("PATCH", "model-versions/update", described)

    def _swap(self, swap: Swap) -> None:
        """Compare, set and read back: the server itself lets the last writer win silently."""
        if (found := self._aliased(CHAMPION)) != swap.before:
            raise moved(self.name, swap.before, found)
        if swap.after is not None:
            self._set_alias(CHAMPION, swap.after)
        elif swap.before is not None:
            self._ask("DELETE", "registered-models/alias", {"name": self.name, "alias": CHAMPION})
        if (found := self._aliased(CHAMPION)) != swap.after:
            raise moved(self.name, swap.after, found)

    def _aliased(self, alias: str) -> str | None:
        asked = {"name": self.name, "alias": alias}
        model = self._ask("GET", "registered-models/get", asked, unknown_is_none=True) or {"registered_model": {}}
        listed = cast("list[dict[str, Any]]", model["registered_model"].get("aliases", []))
        return next((str(one["version"]) for one in listed if one["alias"] == alias), None)

    def _set_alias(self, alias: str, version: str) -> None:
        self._ask("POST", "registered-models/alias", {"name": self.name, "alias": alias, "version": version})

    def _versions(self) -> list[StoredVersion]:
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"filter": f"name = '{self.name}'", "max_results": _PAGE}
        while True:
            page = cast("dict[str, Any]", self._ask("GET", "model-versions/search", query))
            found += cast("list[dict[str, Any]]", page.get("model_versions", []))
            if not page.get("next_page_token"):
                return [_stored(one) for one in found]
            query["page_token"] = page["next_page_token"]

    def _ask(
        self, method: str, path: str, content: dict[str, Any], *, unknown_is_none: bool = False
    ) -> dict[str, Any] | None:
        sent: dict[str, Any] = {"params": content} if method == "GET" else {"json": content}
        address = f"{self.uri.rstrip('/')}/api/2.0/mlflow/{path}"
        answer = self._answered(method, address, sent)
        if answer.ok:
            return _document(self.uri, answer)
        code, message = _refusal(answer)
        if code == _UNKNOWN and unknown_is_none:
            return None
        if code == _UNKNOWN:
            raise RecordInvalid(f"MLflow at {self.uri}: {message}. See what is there with `sentinel models list`.")
        raise unavailable(self.uri, f"HTTP {answer.status_code}: {message}")

    def _answered(self, method: str, address: str, sent: dict[str, Any]) -> requests.Response:
        """The answer, whatever it is; asked again where the server is busy or does not answer."""
        for pause in (*_PAUSES_S, None):
            try:
                answer = self.session.request(method, address, timeout=_TIMEOUT_S, **sent)
                if answer.status_code not in _BUSY or pause is None:
                    return answer
            except requests.RequestException as error:
                if pause is None:
                    raise unavailable(self.uri, str(error)) from error
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")


def unavailable(uri: str, told: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"MLflow at {uri} did not do what was asked: {told}. See that it runs and that MLFLOW_TRACKING_URI is right, "
        "then run again: what is done already is not done twice."
    )


def environment_here() -> Environment:
    """What MLflow's own client reads its login from."""
    return os.environ


def _stored(found: dict[str, Any]) -> StoredVersion:
    tags = {str(tag["key"]): str(tag.get("value", "")) for tag in found.get("tags", [])}
    return StoredVersion(
        str(found["version"]), found.get("run_id") or None, found["source"], tags, found.get("description", "")
    )


def _document(uri: str, answer: requests.Response) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", answer.json())
    except ValueError as error:
        raise unavailable(
            uri, f"its answer is no JSON, so that it is no MLflow ({answer.text.strip()[:80]!r})"
        ) from error


def _refusal(answer: requests.Response) -> tuple[str, str]:
    try:
        told = answer.json()
        return str(told.get("error_code", "")), str(told.get("message", "")).rstrip(".")
    except (ValueError, AttributeError):
        return "", answer.text.strip()[:200] or answer.reason


def _login(environment: Environment) -> tuple[str | None, str | None]:
    kept = configparser.ConfigParser()
    kept.read(Path("~/.mlflow/credentials").expanduser())
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    user, password = (
        environment.get(name) or kept.get("mlflow", name.lower(), fallback=None, raw=True) for name in names
    )
    return user, password
