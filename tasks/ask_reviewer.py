"""What Prefect's UI has for the reviewer of a version that waits: the form, and how else to answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from sentinel.artifacts import Decision
from sentinel.promotion.words import lasting
from tasks.run import Run

FORM = "review-form"  # the flow, whose deployment has the name of the configuration


def ask_reviewer(run: Run, decision: Decision) -> None:
    """Once for each version that waits; without a deployed form the other ways stay."""
    if decision.outcome != "waiting":
        return
    deployment = f"{FORM}/{run.config.name}"
    form = _open_form(run, decision, deployment) if _is_deployed(deployment) else "not deployed: `sentinel deploy`"
    name, version = decision.name, decision.version
    lines = [
        f"# {name} version {version} waits for a reviewer",
        decision.reason,
        f"* Prefect: {form}",
        f"* MLflow ({run.tracking_uri}): on the version's page the tag `review` = `approved` or `rejected`, with "
        "`review_comment` and `reviewer`",
        f"* the command line: `sentinel models approve {version} --reason TEXT` or `sentinel models reject ...`",
        f"Without an answer within {lasting(run.config.promotion.review_expires_after)} the question expires.",
    ]
    create_markdown_artifact("\n\n".join(lines), key="review", description=f"{name} version {version} waits")


def withdraw_forms(name: str, waiting: Collection[str]) -> None:
    """End the runs that ask about a version not among `waiting`: it was answered elsewhere, or has expired."""
    with get_client(sync_client=True) as client:
        asking = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FORM])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
            ),
        )
        for run in asking:
            if (version := str(run.parameters["version"])) not in waiting:
                told = f"Version {version} of {name} waits no longer; its page in MLflow says what was decided."
                client.set_flow_run_state(run.id, Cancelled(message=told), force=True)


def _is_deployed(deployment: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    return True


def _open_form(run: Run, decision: Decision, deployment: str) -> str:
    """The idempotency key: a repeat of the run asks no second time."""
    start: Any = run_deployment
    opened = start(
        deployment,
        parameters={"version": decision.version},
        flow_run_name=f"review {decision.name} version {decision.version}",
        idempotency_key=f"review-{decision.sha256}-{decision.decided_at}",
        timeout=0,
        as_subflow=False,
    )
    return f"the run `{opened.name}` ({opened.id}) waits with a form"
