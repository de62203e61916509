"""The deployed main job on a real Prefect server, started through its API and run by a real worker."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from sentinel.promotion.store.contract import Change, Swap
from sentinel.promotion.store.opening import open_store
from tests.main_job.project import Project, make_project
from tests.main_job.servers import ask, prefect_server, prefect_worker, run_deployment, wait_until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("project"), transactions=20_000)
    with made.config.open("a") as config:
        config.write('\n[promotion]\nreview = "manual"\nreview_check_seconds = 3600\n')
    return made


@pytest.fixture(scope="module")
def api_url(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    homes = tmp_path_factory.mktemp("prefect")
    with prefect_server(project.root, homes / "server") as url:
        yield url


@pytest.fixture(scope="module")
def deployed(project: Project, api_url: str) -> dict[str, Any]:
    done = project.sentinel("deploy", "--config", "configs/small.toml", "--json", PREFECT_API_URL=api_url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_deployment_is_scheduled_and_runs_one_at_a_time(api_url: str, deployed: dict[str, Any]) -> None:
    found = ask(api_url, f"deployments/{deployed['id']}")
    assert [schedule["schedule"]["cron"] for schedule in found["schedules"]] == ["0 2 * * *"]
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "ENQUEUE"


def test_form_of_the_deployment_is_typed(api_url: str, deployed: dict[str, Any]) -> None:
    fields = ask(api_url, f"deployments/{deployed['id']}")["parameter_openapi_schema"]["properties"]
    assert "TOML" in fields["config"]["description"]
    assert "revision" in fields["data_version"]["description"]
    wrong = {"parameters": {"config": 7}, "state": {"type": "SCHEDULED"}}
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(api_url, f"deployments/{deployed['id']}/create_flow_run", wrong)
    assert refused.value.code == 409


def test_look_for_answers_is_scheduled_and_the_form_waits_to_be_asked_for(
    api_url: str, deployed: dict[str, Any]
) -> None:
    look, form = (ask(api_url, f"deployments/{deployed[key]}") for key in ("review_id", "form_id"))
    assert [schedule["schedule"]["interval"] for schedule in look["schedules"]] == [3600.0]
    assert look["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert form["schedules"] == [] and form["parameter_openapi_schema"]["required"] == ["version"]


def test_worker_runs_the_job_a_reviewer_answers_then_it_finds_nothing_new_then_refuses_bad_data(
    project: Project, api_url: str, deployed: dict[str, Any]
) -> None:
    with prefect_worker(project, project.root.parent / "worker", api_url):
        first = run_deployment(api_url, deployed["id"])
        assert (first["state_type"], first["state_name"]) == ("COMPLETED", "Waiting"), first["state"]
        answered = answer_form(api_url, deployed["form_id"])
        assert (answered["state_type"], answered["state_name"]) == ("COMPLETED", "Promoted"), answered["state"]
        assert "reviewer Bob" in answered["state"]["message"]
        shown = project.sentinel("models", "show", "champion", "--config", "configs/small.toml", "--json")
        assert json.loads(shown.stdout)["decision"] == "promoted"
        registry = open_store(f"sqlite:///{project.home / 'mlflow' / 'mlflow.db'}", "small")
        registry.apply(Change(Swap("1", None)))  # as somebody in MLflow's page might
        stale = {"parameters": {"version": "1"}, "state": {"type": "PAUSED"}}  # its version was answered meanwhile
        form = ask(api_url, f"deployments/{deployed['form_id']}/create_flow_run", stale)
        looked = run_deployment(api_url, deployed["review_id"])
        assert (looked["state_type"], looked["state_name"]) == ("COMPLETED", "Answered"), looked["state"]
        assert registry.catalogue().champion == "1"
        assert ask(api_url, f"flow_runs/{form['id']}")["state_type"] == "CANCELLED"
        wait_until(lambda: events(api_url, "sentinel.champion.put-back"), "the event arrives")
        again = run_deployment(api_url, deployed["id"])
        assert (again["state_type"], again["state_name"]) == ("COMPLETED", "Nothing new"), again["state"]
        assert again["total_run_time"] < first["total_run_time"]
        with project.config.open("a") as config:
            config.write("\n[validation]\nmin_rows = 1_000_000\n")
        refused = run_deployment(api_url, deployed["id"])
    assert refused["state_type"] == "FAILED"
    assert "20,000" in refused["state"]["message"]
    assert artifacts(api_url, first["id"]) >= {"gates", "precision-recall", "version", "review"}
    assert "failed-expectations" in artifacts(api_url, refused["id"])


def answer_form(api_url: str, form_id: str) -> dict[str, Any]:
    """Fill in the form that waits, as the UI does, and wait for the run's end."""
    of_form = {"deployments": {"id": {"any_": [form_id]}}}

    def run() -> dict[str, Any]:
        found = ask(api_url, "flow_runs/filter", of_form) or [{"state_type": None}]
        assert len(found) == 1
        return found[0]

    wait_until(lambda: run()["state_type"] == "PAUSED", "the form waits")
    answer = {"decision": "approved", "name": "Bob", "reason": "Every gate passed."}
    accepted = ask(api_url, f"flow_runs/{run()['id']}/resume", {"run_input": answer})
    assert accepted["status"] == "ACCEPT", accepted
    wait_until(lambda: run()["state_type"] in ("COMPLETED", "FAILED", "CRASHED"), "the form's run ends")
    return run()


def events(api_url: str, name: str) -> list[dict[str, Any]]:
    return ask(api_url, "events/filter", {"filter": {"event": {"name": [name]}}})["events"]


def artifacts(api_url: str, flow_run_id: str) -> set[str]:
    """What the UI shows of a run."""
    found = ask(api_url, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}})
    return {artifact["key"] for artifact in found}
