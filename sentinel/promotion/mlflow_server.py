"""MLflow as the registry uses it: what writes a version's files, its entry, its aliases and tags.

Imported only by what needs it: importing MLflow takes seconds. The address is an argument, never a global.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from sentinel.errors import RecordInvalid, ServiceUnavailable

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
    tracking_uri: str, name: str, folder: Path, run_id: str, tags: dict[str, str], description: str
) -> str:
    """Store a release's files as a model of its run, and a version that points there; the version's number."""
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
            description,
            await_creation_for=0,
            model_id=model.model_id,
        )
        # A server does this itself; an embedded registry leaves the model's page saying "Not registered".
        link = json.dumps([{"name": name, "version": str(version.version)}])
        client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: link})
    return str(version.version)


def set_alias(tracking_uri: str, name: str, alias: str, version: str) -> None:
    """Move an alias and read it back: MLflow has no compare-and-swap, the last writer wins silently."""
    with answered(tracking_uri):
        client = connect(tracking_uri)
        client.set_registered_model_alias(name, alias, version)
        found = str(client.get_model_version_by_alias(name, alias).version)
    if found != version:
        raise RecordInvalid(
            f"Alias {alias} of {name} was set to version {version} and now names {found}: somebody else moved it at "
            "the same moment. See who serves with `sentinel models show champion`, then decide again."
        )


def set_tags(tracking_uri: str, name: str, version: str, tags: dict[str, str]) -> None:
    with answered(tracking_uri):
        client = connect(tracking_uri)
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)


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
