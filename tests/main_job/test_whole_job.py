"""The whole job through the command line, again with something changed, and by a worker of a real Prefect server.

Only what depends on the change runs. The tests of this file share one project and follow each other.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sentinel.promotion.store.contract import Change, Swap
from sentinel.promotion.store.opening import open_store
from sentinel.storage import sha256_file
from tests.artifact_formats import refusals
from tests.main_job.project import Project, ingest, make_project, outcomes
from tests.main_job.servers import ask, prefect_worker, run_deployment, wait_until

pytestmark = pytest.mark.timeout(600)

STAGES = [
    "pull", "validate", "compare", "features", "split", "audit", "train", "export", "quantize", "materialize", "gate",
    "libraries", "package", "register", "promote",
]  # fmt: skip
SHOWN = {
    "version", "aliases", "run_id", "decision", "gates", "metrics", "data_digest", "feature_set_hash",
    "lock_sha256", "git_commit", "release_path", "files", "reproducibility",
    "quality",
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Project:
    made = make_project(tmp_path_factory.mktemp("project"), transactions=40_000)
    return replace(made, api_url=prefect_api)


@pytest.fixture(scope="module")
def first(project: Project) -> dict[str, object]:
    return project.run()


def test_first_run_does_every_stage_and_promotes(project: Project, first: dict[str, object]) -> None:
    assert outcomes(first) == dict.fromkeys(STAGES, False)
    assert first["decision"] == "promoted"
    assert first["aliases"] == ["challenger", "champion"]
    assert first["git_commit"] == project.git("rev-parse", "HEAD")
    assert first.keys() >= SHOWN


def test_shown_version_is_the_one_that_the_run_ended_with(project: Project, first: dict[str, object]) -> None:
    done = project.sentinel("models", "show", "champion", "--config", "configs/small.toml", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown == {key: first[key] for key in SHOWN}
    for file in shown["files"]:
        assert (Path(shown["release_path"]) / file["path"]).stat().st_size == file["bytes"]


def test_every_file_of_the_run_is_of_a_format_that_holds_no_code(project: Project, first: dict[str, object]) -> None:
    assert refusals(project.home) == []


def test_log_of_the_run_is_json_lines(project: Project, first: dict[str, object]) -> None:
    lines = (project.home / "logs" / f"{first['run']}.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert {"run_id", "stage", "level", "message"} <= records[0].keys()
    assert {record["run_id"] for record in records} == {first["run"]}
    assert set(STAGES) <= {record["stage"] for record in records}


def test_second_run_does_no_stage_again_and_registers_nothing(project: Project, first: dict[str, object]) -> None:
    second = project.run()
    assert outcomes(second) == {stage: stage != "pull" for stage in STAGES}
    assert second["nothing_new"] is True
    assert (second["version"], second["run_id"]) == (first["version"], first["run_id"])
    listed = project.sentinel("models", "list", "--config", "configs/small.toml", "--json")
    assert len(json.loads(listed.stdout)) == 1


def reproduce(project: Project, run_id: object, expect: int) -> dict[str, object]:
    done = project.sentinel("reproduce", str(run_id), "--config", "configs/small.toml", "--json")
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def test_recorded_run_is_trained_again_to_the_same_bit(project: Project, first: dict[str, object]) -> None:
    assert first["reproducibility"] == "bit-exact"
    before = project.sentinel("models", "list", "--config", "configs/small.toml", "--json").stdout
    again = reproduce(project, first["run"], expect=0)
    assert (again["kind"], again["differences"], again["run_id"]) == ("bit-exact", [], first["run_id"])
    assert "the same weights to the bit" in str(again["sentence"])
    assert project.sentinel("models", "list", "--config", "configs/small.toml", "--json").stdout == before


def test_other_weights_are_told_with_what_else_is_not_as_it_was(project: Project, first: dict[str, object]) -> None:
    kept = project.home / "mlflow" / "artifacts" / "small" / str(first["run_id"]) / "artifacts"
    weights, outcome = kept / "model" / "weights.safetensors", kept / "record" / "outcome.json"
    code = project.root / "sentinel" / "metrics.py"
    whole = {file: file.read_bytes() for file in (weights, outcome, code)}
    weights.write_bytes(whole[weights][:-2] + bytes(byte ^ 1 for byte in whole[weights][-2:]))
    told = json.loads(whole[outcome]) | {"weights_sha256": sha256_file(weights)}
    outcome.write_text(json.dumps(told))
    code.write_bytes(whole[code] + b"# changed since\n")
    try:
        again = reproduce(project, first["run_id"], expect=8)
    finally:
        for file, content in whole.items():
            file.write_bytes(content)
    assert again["kind"] == "different"
    assert [(one["kind"], one["what"]) for one in again["differences"]] == [("code", "sentinel/metrics.py")]
    assert str(again["sentence"]).startswith("Not reproduced: ")
    assert "code sentinel/metrics.py" in str(again["sentence"])


def test_run_whose_data_are_gone_cannot_be_reproduced(project: Project, first: dict[str, object]) -> None:
    remote = project.home / "remote"
    remote.rename(project.home / "elsewhere")
    try:
        refused = reproduce(project, first["run_id"], expect=4)
    finally:
        shutil.rmtree(remote, ignore_errors=True)
        (project.home / "elsewhere").rename(remote)
    assert "Damaged data" in refused["error"]["message"]


def test_data_with_a_fault_are_refused_where_a_champion_knows_better(
    project: Project, first: dict[str, object]
) -> None:
    source, pointer = project.root / "renamed.parquet", project.root / "datasets" / "small.dvc"
    project.sentinel("data", "simulate", "--transactions", "40000", "--seed", "3", "--out", str(source))
    table = pq.read_table(source)
    at = table.schema.get_field_index("country")
    renamed = pc.replace_substring(table["country"], "US", "United States")
    pq.write_table(table.set_column(at, "country", renamed), source)
    before = pointer.read_text()
    done = project.sentinel("data", "ingest", str(source), "--config", "configs/small.toml")
    source.unlink()
    assert done.returncode == 5, done.stderr
    assert "country holds 'United States' in" in done.stderr
    assert "champion version 1 was trained with 'US' (" in done.stderr
    assert "it looks like a renaming" in done.stderr
    assert pointer.read_text() == before
    assert project.run()["nothing_new"] is True


def test_changed_thresholds_run_the_gate_alone_and_a_champion_that_fails_one_stays_but_the_run_says_so(
    project: Project, first: dict[str, object]
) -> None:
    project.set("min_pr_auc", "0.99")
    project.set("max_variant_flips", "0.3")
    again = project.run(expect=7)
    assert [name for name, cached in outcomes(again).items() if not cached] == ["pull", "gate"]
    assert again["version"] == first["version"]
    assert again["failed_now"] == ["pr_auc_floor"]
    assert "stays champion" in again["sentence"]
    assert again["aliases"] == ["challenger", "champion"]
    project.set("min_pr_auc", "0.02")


def against_champion(result: dict[str, Any]) -> dict[str, Any]:
    (gate,) = [gate for gate in result["gates"] if gate["name"] == "better_than_champion"]
    return gate


def champion(project: Project) -> dict[str, Any]:
    shown = project.sentinel("models", "show", "champion", "--config", "configs/small.toml", "--json")
    return json.loads(shown.stdout)


def test_flipped_byte_is_found_though_every_stage_could_come_from_the_cache(project: Project) -> None:
    stored = max((project.home / "remote").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    whole = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    done = project.sentinel("run", "--config", "configs/small.toml", "--json")
    stored.write_bytes(whole)
    assert done.returncode == 4
    assert str(stored.relative_to(project.home)) in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["error"]["type"] == "DataDamaged"


def test_worse_candidate_of_newer_data_is_registered_with_its_verdict_and_never_champion(
    project: Project, first: dict[str, object]
) -> None:
    ingest(project, transactions=30_000, seed=4)
    project.set("min_pr_auc", "0.99")
    project.set("min_frauds_to_compare", "1_000_000")
    rejected = project.run(expect=7)
    assert rejected["data_digest"] != first["data_digest"]
    assert rejected["rows"] == 30_000
    assert rejected["drift"]["reference"].startswith("champion version 1")
    assert rejected["decision"] == "rejected"
    assert rejected["aliases"] == ["challenger"]
    assert [gate["outcome"] for gate in rejected["gates"] if gate["name"] == "pr_auc_floor"] == ["failed"]
    assert champion(project)["version"] == "1"


def test_where_the_frauds_are_too_few_a_reviewer_is_waited_for_whose_choice_is_rolled_back(project: Project) -> None:
    project.set("min_pr_auc", "0.02")
    waiting = project.run()
    assert not {"train", "export", "quantize"} & {name for name, cached in outcomes(waiting).items() if not cached}
    assert against_champion(waiting)["outcome"] == "undecided"
    assert (waiting["version"], waiting["decision"], waiting["aliases"]) == ("3", "waiting", ["challenger"])
    answer = ("approve", "3", "--reviewer", "Bob", "--reason", "Few frauds, but well explained.")
    rollback = ("rollback", "--reason", "False alarms since 14:00")
    for words, serving in ((answer, "3"), (rollback, "1")):
        done = project.sentinel("models", *words, "--config", "configs/small.toml", "--json")
        assert done.returncode == 0, done.stderr
        assert champion(project)["version"] == serving
    project.set("min_frauds_to_compare", "1")


@pytest.fixture(scope="module")
def deployed(project: Project, prefect_api: str) -> dict[str, Any]:
    done = project.sentinel("deploy", "--config", "configs/small.toml", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_deployment_is_scheduled_and_runs_one_at_a_time(prefect_api: str, deployed: dict[str, Any]) -> None:
    found = ask(prefect_api, f"deployments/{deployed['id']}")
    assert [schedule["schedule"]["cron"] for schedule in found["schedules"]] == ["0 2 * * *"]
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "ENQUEUE"


def test_form_of_the_deployment_is_typed(prefect_api: str, deployed: dict[str, Any]) -> None:
    fields = ask(prefect_api, f"deployments/{deployed['id']}")["parameter_openapi_schema"]["properties"]
    assert "TOML" in fields["config"]["description"]
    assert "revision" in fields["data_version"]["description"]
    wrong = {"parameters": {"config": 7}, "state": {"type": "SCHEDULED"}}
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(prefect_api, f"deployments/{deployed['id']}/create_flow_run", wrong)
    assert refused.value.code == 409


def test_look_for_answers_is_scheduled_and_the_form_waits_to_be_asked_for(
    prefect_api: str, deployed: dict[str, Any]
) -> None:
    look, form = (ask(prefect_api, f"deployments/{deployed[key]}") for key in ("review_id", "form_id"))
    assert [schedule["schedule"]["interval"] for schedule in look["schedules"]] == [3600.0]
    assert look["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert form["schedules"] == [] and form["parameter_openapi_schema"]["required"] == ["version"]


def test_worker_runs_an_older_version_with_changed_windows_a_reviewer_answers_then_bad_data_are_refused(
    project: Project, first: dict[str, object], prefect_api: str, deployed: dict[str, Any], tmp_path: Path
) -> None:
    spec = project.config.with_name("features.toml")
    kept = {file: file.read_text() for file in (spec, project.config)}
    spec.write_text(kept[spec].replace('"30d"', '"28d"'))
    project.set("review", '"manual"')
    try:
        with prefect_worker(project, tmp_path / "worker", prefect_api):
            answered_run_then_nothing_new(project, prefect_api, deployed)
            by_hand = project.run("--data-version", "HEAD~1")
            assert by_hand["nothing_new"] is True and by_hand["rows"] == 40_000
            assert by_hand["data_digest"] == champion(project)["data_digest"] == first["data_digest"]
            with project.config.open("a") as config:
                config.write("\n[validation]\nmin_rows = 1_000_000\n")
            refused = run_deployment(prefect_api, deployed["id"])
    finally:
        for file, content in kept.items():
            file.write_text(content)
    assert refused["state_type"] == "FAILED"
    assert "30,000" in refused["state"]["message"]
    assert "failed-expectations" in artifacts(prefect_api, refused["id"])


def answered_run_then_nothing_new(project: Project, api_url: str, deployed: dict[str, Any]) -> None:
    older = {"data_version": "HEAD~1"}  # of which the champion was made
    first = run_deployment(api_url, deployed["id"], older)
    assert (first["state_type"], first["state_name"]) == ("COMPLETED", "Waiting"), first["state"]
    assert artifacts(api_url, first["id"]) >= {"gates", "precision-recall", "version", "review"}
    # the champion, trained on the former windows, is judged on features of its own
    later = {stage for stage in STAGES[STAGES.index("features") :] if stage != "libraries"}
    assert later | {"champion_features"} <= stages(api_url, first["id"], "Completed")
    assert "libraries" in stages(api_url, first["id"], "Cached")
    answered = answer_form(api_url, deployed["form_id"])
    assert (answered["state_type"], answered["state_name"]) == ("COMPLETED", "Promoted"), answered["state"]
    assert "reviewer Bob" in answered["state"]["message"]
    serving = champion(project)
    assert (serving["version"], serving["decision"]) == ("4", "promoted")
    assert against_champion(serving)["outcome"] == "passed" and against_champion(serving)["value"] is not None

    registry = open_store(f"sqlite:///{project.home / 'mlflow' / 'mlflow.db'}", "small")
    registry.apply(Change(Swap("4", None)))  # as somebody in MLflow's page might
    stale = {"parameters": {"version": "4"}, "state": {"type": "PAUSED"}}  # its version was answered meanwhile
    form = ask(api_url, f"deployments/{deployed['form_id']}/create_flow_run", stale)
    looked = run_deployment(api_url, deployed["review_id"])
    assert (looked["state_type"], looked["state_name"]) == ("COMPLETED", "Answered"), looked["state"]
    assert registry.catalogue().champion == "4"
    assert ask(api_url, f"flow_runs/{form['id']}")["state_type"] == "CANCELLED"
    wait_until(lambda: events(api_url, "sentinel.champion.put-back"), "the event arrives")

    again = run_deployment(api_url, deployed["id"], older)
    assert (again["state_type"], again["state_name"]) == ("COMPLETED", "Nothing new"), again["state"]
    assert again["total_run_time"] < first["total_run_time"]


def stages(api_url: str, flow_run_id: str, state: str) -> set[str]:
    """The stages of a run that ended in this state."""
    found = ask(api_url, "task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run_id]}}})
    return {task["name"] for task in found if task["state_name"] == state}


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


def test_lost_mlflow_database_is_filled_again(project: Project) -> None:
    database = project.home / "mlflow" / "mlflow.db"
    database.unlink()
    again = project.run()
    assert outcomes(again)["validate"] is outcomes(again)["features"] is True
    assert outcomes(again)["train"] is False
    assert again["aliases"] == ["challenger", "champion"]


def test_whatever_happened_no_file_holds_code(project: Project) -> None:
    """Failed, refused and rejected runs leave files too."""
    assert refusals(project.home) == []
