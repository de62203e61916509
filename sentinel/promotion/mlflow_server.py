"""MLflow as its own client sees it: what writes a version's files and its entry, and registries of an unknown shape.

Imported only by what needs it: importing MLflow takes seconds. The address is an argument, never a global.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from sentinel.errors import ServiceUnavailable
from sentinel.promotion.catalogue import CHAMPION, Catalogue, StoredVersion
from sentinel.promotion.store.contract import Change, Swap, moved
from sentinel.promotion.summary import DATA_DOCS, Home

_client: Any = MlflowClient  # the library's types are partly unknown
_download: Any = download_artifacts


def connect(tracking_uri: str) -> Any:
    return _client(tracking_uri, tracking_uri)


@contextmanager
def answered(tracking_uri: str) -> Generator[None]:
    """Turn whatever MLflow raises into a sentence."""
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        raise ServiceUnavailable(
            f"MLflow at {tracking_uri} did not do what was asked: {error}. See that it runs and that "
            "MLFLOW_TRACKING_URI is right, then run again: what is done already is not done twice."
        ) from error


def create_version(
    tracking_uri: str,
    name: str,
    folder: Path,
    run_id: str,
    tags: dict[str, str],
    data_docs: Path,
    describe: Callable[[Home], str],
) -> str:
    """Store a release's files as a model of its run, and a version that points there; the version's number.

    The pages of the folder `data_docs`, where it is there, become artifacts of the run.
    """
    with answered(tracking_uri):
        client = connect(tracking_uri)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description="Versions are releases; see each version's description.")
        model = _stored_files(client, folder, run_id)
        # Not models:/<id>: an embedded registry would look that up at the globally set address.
        version = client.create_model_version(
            name,
            model.artifact_location,
            run_id,
            tags,
            None,
            describe(Home(str(model.experiment_id), run_id, model.model_id, _stored_pages(client, data_docs, run_id))),
            await_creation_for=0,
            model_id=model.model_id,
        )
        # A server does this itself; an embedded registry leaves the model's page saying "Not registered".
        link = json.dumps([{"name": name, "version": str(version.version)}])
        client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: link})
    return str(version.version)


@dataclass(frozen=True)
class ClientStore:
    """A registry whose tables or login only MLflow's client knows (store.contract.RegistryStore)."""

    uri: str
    name: str

    def catalogue(self) -> Catalogue:
        with answered(self.uri):
            client = connect(self.uri)
            model = next(iter(client.search_registered_models(f"name = '{self.name}'")), None)
            if model is None:
                return Catalogue(self.name, {}, ())
            found: list[Any] = []
            token = None
            while token != "":
                page = client.search_model_versions(f"name = '{self.name}'", max_results=200, page_token=token)
                found += page
                token = page.token or ""
            aliases = client.get_registered_model(self.name).aliases
        versions = [
            StoredVersion(str(one.version), one.run_id or None, one.source, dict(one.tags), one.description or "")
            for one in found
        ]
        ordered = tuple(sorted(versions, key=lambda one: -int(one.version)))
        return Catalogue(self.name, {alias: str(version) for alias, version in aliases.items()}, ordered)

    def apply(self, change: Change) -> None:
        with answered(self.uri):
            client = connect(self.uri)
            if change.champion is not None:
                self._swap(client, change.champion)
            for alias, version in change.aliases.items():
                client.set_registered_model_alias(self.name, alias, version)
            for version, tags in change.tags.items():
                for key, value in tags.items():
                    client.set_model_version_tag(self.name, version, key, value)
            for version, text in change.descriptions.items():
                client.update_model_version(self.name, version, text)

    def _swap(self, client: Any, swap: Swap) -> None:
        """Compare, set and read back: MLflow itself lets the last writer win silently."""
        if (found := self._champion(client)) != swap.before:
            raise moved(self.name, swap.before, found)
        if swap.after is not None:
            client.set_registered_model_alias(self.name, CHAMPION, swap.after)
        else:
            client.delete_registered_model_alias(self.name, CHAMPION)
        if (found := self._champion(client)) != swap.after:
            raise moved(self.name, swap.after, found)

    def _champion(self, client: Any) -> str | None:
        found = client.get_registered_model(self.name).aliases.get(CHAMPION)
        return None if found is None else str(found)


def client_holds_run(tracking_uri: str, run_id: str) -> bool:
    with answered(tracking_uri):
        try:
            return connect(tracking_uri).get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise


def fetch_files(tracking_uri: str, source: str, scratch: Path) -> Path:
    """Download the files of a version; the folder below `scratch` that holds them."""
    with answered(tracking_uri):
        return Path(
            _download(artifact_uri=source, dst_path=str(scratch), tracking_uri=tracking_uri, registry_uri=tracking_uri)
        )


def _stored_files(client: Any, folder: Path, run_id: str) -> Any:
    """The run's model that holds these files; one that a killed run has completed is used again."""
    experiment = client.get_run(run_id).info.experiment_id
    name = f"release-{folder.name}"
    there = client.search_logged_models([experiment], filter_string=f"name = '{name}'")
    for model in there:
        if str(model.status) in ("READY", "LoggedModelStatus.READY") and model.source_run_id == run_id:
            return model
    model = client.create_logged_model(experiment, name=name, source_run_id=run_id, model_type="onnx")
    client.log_model_artifacts(model.model_id, str(folder))
    return client.finalize_logged_model(model.model_id, "READY")


def _stored_pages(client: Any, site: Path, run_id: str) -> bool:
    """Of this validation, not the earlier ones; and only HTML: it is readable by itself."""
    newest = sorted(site.glob("validations/**/*.html"))[-1:]
    pages = [*site.glob("*.html"), *site.glob("expectations/*.html"), *newest]
    for page in pages:
        client.log_artifact(run_id, str(page), (Path(DATA_DOCS) / page.relative_to(site).parent).as_posix())
    return bool(pages)
