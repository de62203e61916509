"""Stage publish: the release in S3, under its digest; only where the configuration has [release.s3]."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import OfRelease, PublishedRelease
from sentinel.errors import ConfigInvalid
from tasks.run import Run
from tasks.stage import Work, stage


def publish_where_configured(run: Run, release: OfRelease) -> PublishedRelease | None:
    return publish(run, release) if run.config.release.s3 else None


def _s3_holds_the_release(run: Run, published: PublishedRelease) -> bool:
    from sentinel.promotion.publication import is_published

    s3 = run.config.release.s3
    return s3 is not None and is_published(run.config.name, published.sha256, s3)


@stage(
    code=("sentinel/promotion/publication.py", "sentinel/promotion/manifest.py", "sentinel/s3.py"),
    settings=lambda run: [run.config.release],
    timeout=timedelta(hours=1),
    retries=2,
    is_still_there=_s3_holds_the_release,
)
def publish(work: Work, release: OfRelease) -> PublishedRelease:
    from sentinel.promotion.keys import public_keys
    from sentinel.promotion.publication import publish_release

    run, s3 = work.run, work.run.config.release.s3
    if s3 is None:
        raise ConfigInvalid(f"{run.config.file} has no [release.s3], so there is nowhere to publish. Add it.")
    folder = release.locate(run.paths.home)
    url = publish_release(folder, release.sha256, s3, public_keys(run.paths.keys), progress=work.progress)
    return PublishedRelease(path=release.path, sha256=release.sha256, url=url)
