"""Stage materialize: the feature table's latest rows in the online store, where scoring reads them."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

from sentinel.artifacts import FeatureTable, OnlineFeatures
from sentinel.features.online.store import open_online, store_kind
from tasks.run import Run
from tasks.stage import Work, stage

if TYPE_CHECKING:
    from sentinel.features.online.proof import OnlineState


def online_state(run: Run, online: OnlineFeatures) -> OnlineState:
    """Whether the store that scoring would read holds these features now."""
    from sentinel.features.online.proof import is_online

    config = run.config
    where = config.where("services.redis_url")
    with closing(open_online(run.paths, config.name, run.redis_url, where=where)) as rows:
        return is_online(online.locate(run.paths.home), rows)


def _store_holds_them(run: Run, online: OnlineFeatures) -> bool:
    return online_state(run, online).is_online


@stage(
    code=("sentinel/features",),
    settings=lambda run: [store_kind(run.redis_url)],
    timeout=timedelta(hours=1),
    retries=2,
    is_still_there=_store_holds_them,
)
def materialize(work: Work, table: FeatureTable) -> OnlineFeatures:
    from sentinel.features.online.materialize import materialize as bring_online

    run = work.run
    return bring_online(
        table, name=run.config.name, paths=run.paths, redis_url=run.redis_url, out=work.out,
        where=run.config.where("services.redis_url"), progress=work.progress,
    )  # fmt: skip
