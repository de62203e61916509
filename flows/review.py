"""The review as flows: the look for answers that a schedule starts, and the form that waits in Prefect's UI."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.states import Completed
from pydantic import Field

from flows.environment import require_mlflow
from flows.logs import logged_run
from flows.reviewing import open_review
from sentinel.config import Config, load_config
from sentinel.paths import Paths, find_paths
from sentinel.promotion.entries import told
from sentinel.promotion.review.answer import Answer
from sentinel.promotion.review.look import Happening, look_for_answers, tell
from sentinel.promotion.words import MOST_NAME, MOST_REASON
from tasks.ask_reviewer import withdraw_forms

ConfigParameter = Annotated[str, Field(min_length=6)]
VersionParameter = Annotated[str, Field(min_length=1)]
EVENTS = {"put_back": "sentinel.champion.put-back", "adopted": "sentinel.champion.adopted"}


class ReviewAnswer(RunInput):
    """The form. Its fields' titles and descriptions are what the reviewer reads beside them."""

    decision: Literal["approved", "rejected"] = Field(title="Decision")
    name: str = Field(title="Your name", min_length=1, max_length=MOST_NAME)
    reason: str = Field(title="Why", description="Whoever asks later reads it.", min_length=1, max_length=MOST_REASON)


@flow(name="review", flow_run_name="{config}", result_serializer="json")
def review(config: ConfigParameter = "configs/default.toml") -> State[Any]:
    """Act on what reviewers answered in MLflow, and put back a champion that somebody set by hand and may not serve.

    Args:
        config: TOML file of the data set, from the project's folder.
    """
    paths, checked = _opened(config)
    asked = open_review(checked, paths)
    with logged_run(f"review-{datetime.now(UTC):%Y%m%dT%H%M%S}", paths.logs):
        found = look_for_answers(asked, datetime.now(UTC))
        tell(found)
    emit_happenings(checked.name, found)
    withdraw_forms(checked.name, asked.waiting())
    told = " ".join(happening.sentence for happening in found) or "No answer to act upon, and the champion is right."
    return Completed(message=told, name="Answered" if found else "Nothing new")


@flow(name="review-form", result_serializer="json", persist_result=True)
def review_form(version: VersionParameter, config: ConfigParameter = "configs/default.toml") -> State[Any]:
    """Ask a reviewer about a version that waits: this run suspends until its form is filled in.

    Args:
        version: Number of the version in MLflow.
        config: TOML file of the data set, from the project's folder.
    """
    paths, checked = _opened(config)
    asked = open_review(checked, paths)
    stored = asked.registry.catalogue().find(version)
    patience_s = int(checked.promotion.review_expires_after.total_seconds())
    form = ReviewAnswer.with_initial_data(description=stored.description)
    said = suspend_flow_run(wait_for_input=form, timeout=patience_s, key=f"review-{version}")
    entry = asked.answer(version, Answer(said.decision, said.name, said.reason, "Prefect"), datetime.now(UTC))
    sentence = f"{checked.name} version {version}: {entry['outcome']} {told(entry)}."
    return Completed(message=sentence, name=entry["outcome"].capitalize())


def emit_happenings(name: str, found: list[Happening]) -> None:
    """What the guard did, as Prefect's events: an automation can call somebody."""
    for happening in found:
        if happening.kind in EVENTS:
            resource = {"prefect.resource.id": f"sentinel.model.{name}", "prefect.resource.name": name}
            payload = {"version": happening.version, "why": happening.sentence}
            emit_event(EVENTS[happening.kind], resource, payload=payload)


def _opened(config: str) -> tuple[Paths, Config]:
    paths = find_paths(Path.cwd(), os.environ)
    checked = load_config(paths.root / config)
    require_mlflow(open_review(checked, paths).registry.tracking_uri)
    return paths, checked
