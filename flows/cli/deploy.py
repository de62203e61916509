"""`sentinel deploy`: hand the main job to a Prefect server."""

from __future__ import annotations

import os
from dataclasses import asdict

from flows.cli.console import ConfigOption, JsonOption, answers, open_session
from flows.environment import prefect_api_url, require_prefect
from sentinel.errors import ServiceUnavailable


def deploy(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Register the nightly schedule and the form for a start by hand on the Prefect server."""
    session = open_session(config, as_json)
    url = prefect_api_url(session.config)
    if url is None:
        raise ServiceUnavailable(
            "No Prefect server is named. Start one with `make prefect-ui`, then set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api, or services.prefect_api_url in the configuration."
        )
    require_prefect(url)
    os.environ["PREFECT_API_URL"] = url
    session.paths.prefect_home.mkdir(parents=True, exist_ok=True)
    from flows.deployments import deploy as register

    deployed = register(session.config, session.paths, url)
    if as_json:
        session.answer(asdict(deployed))
        return
    answers.print(f"[green]Deployed[/] train-to-deploy/{deployed.name} on {url}")
    answers.print(f"  runs by schedule '{deployed.cron}' ({deployed.time_zone}), or by hand in the UI or with")
    answers.print(f"  prefect deployment run 'train-to-deploy/{deployed.name}'")
    pause = session.config.promotion.review_check_seconds
    answers.print(f"  review/{deployed.name} looks every {pause} s for answers of reviewers,")
    answers.print(f"  and review-form/{deployed.name} asks them in the UI about a version that waits")
    answers.print(f"  A worker of the pool {deployed.work_pool!r} must be there: make worker")
