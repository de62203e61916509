"""The webhook at the MLflow server that calls `sentinel models watch`: one per model, made once and kept right."""

from __future__ import annotations

from mlflow.exceptions import MlflowException

from sentinel.errors import ServiceUnavailable
from sentinel.promotion.mlflow_server import answered, connect

_EVENTS = ("model_version_tag.set", "model_version_alias.created", "model_version_alias.deleted")


def ensure_webhook(tracking_uri: str, model: str, url: str, secret: str) -> str:
    """Its id. Raises ServiceUnavailable when the server refuses the address or keeps no secrets."""
    name = f"sentinel-review-{model}"
    events = list(_EVENTS)
    try:
        client = connect(tracking_uri)
        known = [one for one in client.list_webhooks(max_results=100) if one.name == name]
        if known:
            kept = client.update_webhook(known[0].webhook_id, url=url, events=events, secret=secret, status="ACTIVE")
        else:
            kept = client.create_webhook(name, url, events, description="Answers of reviewers.", secret=secret)
    except MlflowException as error:
        raise ServiceUnavailable(
            f"MLflow at {tracking_uri} takes no webhook to {url}: {str(error).splitlines()[0]} Start its server with "
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY set, and for an address of your own network with "
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true."
        ) from error
    with answered(tracking_uri):
        return str(kept.webhook_id)
