"""Versions of one model, and the alias that decides what serves. Versions are MLflow's; decisions are a chain beside.

Writers on this machine take turns by a file lock. Not covered: writers on other machines and people in MLflow's
UI; every alias is therefore read back after it was moved.

Reading imports neither MLflow nor what judges; both take seconds and are imported where something is written.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sentinel.artifacts import MANIFEST, Decision, RegisteredVersion, Release
from sentinel.errors import GateFailed, RecordInvalid
from sentinel.paths import Paths
from sentinel.promotion.catalogue import Catalogue, StoredVersion, read_catalogue
from sentinel.promotion.decisions import Verdict, append_decision, read_chain
from sentinel.promotion.keys import public_keys, signing_key
from sentinel.promotion.layout import FACTS, GATES, NOT_MEASURED, Champion, protect
from sentinel.promotion.quality import read_quality
from sentinel.storage import sha256_file

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
_FINAL = ("promoted", "rejected")
_FACT_TAGS = ("data_digest", "feature_set_hash", "lock_sha256", "git_commit", "model_sha256", "variant")
_GATE_KEYS = ("name", "value", "threshold", "outcome")


@dataclass(frozen=True)
class Registry:
    """The model `name` at the MLflow of `tracking_uri`, with its releases and decisions below `paths.home`."""

    tracking_uri: str
    name: str
    paths: Paths

    def catalogue(self) -> Catalogue:
        return read_catalogue(self.tracking_uri, self.name)

    def register(self, release: Release) -> RegisteredVersion:
        """The version that holds this release, made when there is none, with alias `challenger`."""
        from sentinel.promotion.release import verify_release

        folder = release.locate(self.paths.home)
        facts = verify_release(folder, release.sha256, public_keys(self.paths.keys))
        with self._lock():
            stored = self.catalogue().of_release(release.sha256)
            version = stored.version if stored else self._create(release, folder, facts)
            self._name_challenger(version)
        return RegisteredVersion(
            path=release.path, sha256=release.sha256, run_id=release.run_id, name=self.name, version=version
        )

    def decide(
        self, registered: RegisteredVersion, verdict: Verdict, *, decided_by: str, decided_at: datetime
    ) -> Decision:
        """Act on a verdict and record it; a release that was promoted or rejected before keeps that decision.

        The alias moves first, the record follows: what a kill leaves between them, a repeat completes.
        """
        with self._lock():
            entry = self._recorded(registered.sha256)
            if entry is None or entry["outcome"] not in (*_FINAL, verdict.outcome):
                entry = self._act(registered, verdict, decided_by, decided_at)
        return self._as_decision(registered.path, entry)

    def set_champion(self, version: str) -> None:
        """Let `version` serve; the one that served becomes `previous`. Raises GateFailed when it failed a gate.

        The caller holds no other lock of this registry; `decide` records why.
        """
        with self._lock():
            self._move_champion(version)

    def champion(self) -> Champion | None:
        """What serves, its release checked against its digest."""
        catalogue = self.catalogue()
        if CHAMPION not in catalogue.aliases:
            return None
        return self._as_champion(catalogue.find(CHAMPION))

    def opponent_of(self, model_sha256: str) -> Champion | None:
        """Whom a candidate with this graph is judged against.

        When it is the champion, the recorded decision stands: the one it was judged against then.
        """
        champion = self.champion()
        if champion is None or champion.model_sha256 != model_sha256:
            return champion
        faced = _read(self.paths.absolute(champion.release_path) / GATES)["champion"]
        if faced is None:
            return None
        known = {stored.version: stored for stored in self.catalogue().versions}
        # one that was deleted since is still whom the verdict speaks of
        return self._as_champion(known[faced["version"]]) if faced["version"] in known else Champion(**faced)

    def standing_decision(self, model_sha256: str) -> Decision | None:
        """The recorded decision that made the champion what it is, when the champion is the model with this graph."""
        champion = self.champion()
        if champion is None or champion.model_sha256 != model_sha256:
            return None
        entry = self._recorded(self.catalogue().find(champion.version).release)
        return self._as_decision(champion.release_path, entry) if entry else None

    def show(self, wanted: str = CHAMPION) -> dict[str, Any]:
        """One version, by number or alias, for machines. Raises RecordInvalid when it is not there or does not hold."""
        catalogue = self.catalogue()
        return self._document(catalogue, catalogue.find(wanted), read_chain(self.paths.decisions(self.name)))

    def list_versions(self) -> list[dict[str, Any]]:
        """Every version that holds a release, newest first."""
        catalogue, chain = self.catalogue(), read_chain(self.paths.decisions(self.name))
        return [self._document(catalogue, stored, chain) for stored in catalogue.versions if "release" in stored.tags]

    def release_folder(self, stored: StoredVersion) -> Path:
        """The local folder of a version's release, every byte checked; fetched from MLflow when it is not whole."""
        digest = stored.release
        folder = self.paths.releases(self.name) / digest[:16]
        release = self._release(stored, folder)
        if not release.holds(self.paths.home):
            self._fetch(stored, folder)
            if not release.holds(self.paths.home):
                from sentinel.promotion.release import verify_release

                verify_release(folder, digest, public_keys(self.paths.keys))
                raise RecordInvalid(f"The files of version {stored.version} in MLflow are not those of its release.")
        return folder

    def _create(self, release: Release, folder: Path, facts: dict[str, Any]) -> str:
        from sentinel.promotion.mlflow_server import create_version
        from sentinel.promotion.report import summary

        tags = {key: str(facts[key]) for key in _FACT_TAGS}
        tags |= {"release": release.sha256, "verdict": "passed" if facts["passed"] else "failed"}
        tags |= {"decision": "undecided"}
        text = summary(facts, _read(folder / GATES))
        return create_version(self.tracking_uri, self.name, folder, release.run_id, tags, text)

    def _name_challenger(self, version: str) -> None:
        if self.catalogue().aliases.get(CHALLENGER) != version:
            self._set_alias(CHALLENGER, version)

    def _act(self, registered: RegisteredVersion, verdict: Verdict, decided_by: str, at: datetime) -> dict[str, Any]:
        from sentinel.promotion.mlflow_server import set_tags

        aliases = self.catalogue().aliases
        before = aliases.get(CHAMPION)
        if before == registered.version:  # a killed run moved the alias and did not come to write it down
            before = aliases.get(PREVIOUS)
        if verdict.outcome == "promoted":
            self._move_champion(registered.version)
        set_tags(self.tracking_uri, self.name, registered.version, {"decision": verdict.outcome})
        decision = {
            "name": self.name,
            "release": registered.sha256,
            "version": registered.version,
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "decided_by": decided_by,
            "decided_at": at.astimezone(UTC).isoformat(timespec="seconds"),
            "champion_before": before,
            "champion_after": self.catalogue().aliases.get(CHAMPION),
        }
        return append_decision(self.paths.decisions(self.name), decision, signing_key(self.paths.keys))

    def _move_champion(self, version: str) -> None:
        from sentinel.promotion.release import verify_release

        catalogue = self.catalogue()
        stored = catalogue.find(version)
        facts = verify_release(self.release_folder(stored), stored.release, public_keys(self.paths.keys))
        if not facts["passed"]:
            raise GateFailed(
                f"Version {version} of {self.name} failed {', '.join(facts['failed'])} and cannot become champion. "
                "Train a better one, or change the thresholds in the configuration's [gates] and run again."
            )
        serving = catalogue.aliases.get(CHAMPION)
        if serving == version:
            return
        if serving is not None:
            self._set_alias(PREVIOUS, serving)
        self._set_alias(CHAMPION, version)

    def _set_alias(self, alias: str, version: str) -> None:
        from sentinel.promotion.mlflow_server import set_alias

        set_alias(self.tracking_uri, self.name, alias, version)

    def _recorded(self, digest: str) -> dict[str, Any] | None:
        """The last decision about a release."""
        about = [entry for entry in read_chain(self.paths.decisions(self.name)) if entry["release"] == digest]
        return about[-1] if about else None

    def _as_decision(self, release_path: str, entry: dict[str, Any]) -> Decision:
        told = {key: entry[key] for key in ("version", "outcome", "reason", "decided_by", "decided_at")}
        return Decision(path=release_path, sha256=entry["release"], name=self.name, **told)

    def _as_champion(self, stored: StoredVersion) -> Champion:
        folder = self.release_folder(stored)
        facts = _read(folder / FACTS)
        return Champion(stored.version, self.paths.relative(folder), facts["model_sha256"], facts["feature_set_hash"])

    def _release(self, stored: StoredVersion, folder: Path) -> Release:
        tags = stored.tags
        return Release(
            path=self.paths.relative(folder),
            sha256=stored.release,
            run_id=stored.run_id or "",
            passed=tags.get("verdict") == "passed",
            model_sha256=tags.get("model_sha256", ""),
        )

    def _fetch(self, stored: StoredVersion, folder: Path) -> None:
        from sentinel.promotion.mlflow_server import fetch_files

        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            fetched = fetch_files(self.tracking_uri, stored.source, Path(scratch))
            protect(fetched)
            shutil.rmtree(folder, ignore_errors=True)
            fetched.replace(folder)

    def _document(self, catalogue: Catalogue, stored: StoredVersion, chain: list[dict[str, Any]]) -> dict[str, Any]:
        folder = self.release_folder(stored)
        facts, judged, manifest = (_read(folder / name) for name in (FACTS, GATES, MANIFEST))
        decisions = [entry["outcome"] for entry in chain if entry["release"] == stored.release]
        files = [{"path": path, **kept} for path, kept in sorted(manifest["files"].items())]
        own = folder / MANIFEST
        return {
            "version": stored.version,
            "aliases": sorted(alias for alias, version in catalogue.aliases.items() if version == stored.version),
            "run_id": facts["run_id"],
            "decision": decisions[-1] if decisions else stored.tags.get("decision", "undecided"),
            "gates": [{key: gate[key] for key in _GATE_KEYS} for gate in judged["gates"]],
            "metrics": facts["metrics"],
            "quality": read_quality(folder),
            "reproducibility": facts.get("reproducibility", NOT_MEASURED),
            "data_digest": facts["data_digest"],
            "feature_set_hash": facts["feature_set_hash"],
            "lock_sha256": facts["lock_sha256"],
            "git_commit": facts["git_commit"],
            "release_path": str(folder),
            "files": [*files, {"path": MANIFEST, "sha256": sha256_file(own), "bytes": own.stat().st_size}],
        }

    @contextmanager
    def _lock(self) -> Generator[None]:
        """Wait until no other process on this machine writes to this model's registry; the kernel frees it at exit."""
        file = self.paths.lock(f"{self.name}.registry")
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _read(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text()))
