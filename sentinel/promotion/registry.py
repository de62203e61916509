"""Versions of one model, and the alias that decides what serves. Versions are MLflow's; decisions are a chain beside.

Whatever changes the alias goes through the switch (sentinel/promotion/switch). Reading imports neither MLflow nor what
judges; both take seconds and are imported where something is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sentinel.artifacts import Decision, RegisteredVersion, Release
from sentinel.errors import ChampionMoved, GateFailed
from sentinel.paths import Paths
from sentinel.promotion.catalogue import CHALLENGER, CHAMPION, PREVIOUS, Catalogue, StoredVersion
from sentinel.promotion.decisions import Verdict, read_chain
from sentinel.promotion.entries import Decided, Entry, state_text, told
from sentinel.promotion.figures import read_json, undecided_gates
from sentinel.promotion.keys import public_keys
from sentinel.promotion.layout import FACTS, GATES, Champion
from sentinel.promotion.release_files import local_folder, release_folder, require_registered_files
from sentinel.promotion.store.contract import Change, RegistryStore
from sentinel.promotion.store.opening import open_store
from sentinel.promotion.summary import with_state
from sentinel.promotion.switch.journal import Intent
from sentinel.promotion.switch.lock import RegistryLock
from sentinel.promotion.switch.switch import Standing, Switch, open_switch
from sentinel.promotion.version_document import version_document

_OPEN = ("waiting", "expired")  # what a later verdict of a run may change
_FACT_TAGS = ("data_digest", "feature_set_hash", "lock_sha256", "git_commit", "model_sha256", "variant")


@dataclass(frozen=True)
class Registry:
    """The model `name` at the MLflow of `tracking_uri`, with its releases and decisions below `paths.home`.

    `database_url`: the PostgreSQL behind an MLflow server, whose lock all its writers share.
    """

    tracking_uri: str
    name: str
    paths: Paths
    database_url: str | None = None

    @property
    def lock(self) -> RegistryLock:
        return RegistryLock(self.paths, self.name, self.tracking_uri, self.database_url)

    def store(self) -> RegistryStore:
        return open_store(self.tracking_uri, self.name)

    def switch(self) -> Switch:
        return open_switch(self.store(), self.lock, self.paths, self.name)

    def catalogue(self) -> Catalogue:
        return self.store().catalogue()

    def chain(self) -> list[Entry]:
        return read_chain(self.paths.decisions(self.name))

    def register(self, release: Release, author: str = "") -> RegisteredVersion:
        """The version that holds this release, made when there is none, with alias `challenger`."""
        from sentinel.promotion.release import verify_release

        folder = release.locate(self.paths.home)
        facts = verify_release(folder, release.sha256, public_keys(self.paths.keys))
        with self.lock.held("registration"):
            stored = self.catalogue().of_release(release.sha256)
            version = stored.version if stored else self._create(release, folder, facts, author)
        with self.lock.held():
            if self.catalogue().aliases.get(CHALLENGER) != version:
                self.store().apply(Change(aliases={CHALLENGER: version}))
        return RegisteredVersion(
            path=release.path, sha256=release.sha256, run_id=release.run_id, name=self.name, version=version
        )

    def decide(
        self, registered: RegisteredVersion, verdict: Verdict, *, decided_by: str, decided_at: datetime
    ) -> Decision:
        """Act on a run's verdict and record it; a release that was decided upon before keeps that decision.

        Raises ChampionMoved when the version would be promoted and was judged against another champion.
        """
        stored = self.catalogue().find(registered.version)
        folder = self.verified(stored) if verdict.outcome == "promoted" else self.release_folder(stored)
        decided = Decided(verdict.outcome, verdict.reason, decided_by, decided_at)

        def propose(standing: Standing) -> Intent | None:
            last = standing.last_about(registered.sha256)
            if last is not None and (last["outcome"] not in _OPEN or last["outcome"] == verdict.outcome):
                return None
            return self.intent(standing, stored, folder, decided)

        entry = self.switch().decide(propose) or Standing(self.catalogue(), self.chain()).last_about(registered.sha256)
        assert entry is not None, "a decision was made now or before"
        return self._as_decision(registered.path, entry)

    def intent(self, standing: Standing, stored: StoredVersion, folder: Path, decided: Decided, **tags: str) -> Intent:
        """What a decision about a judged version does; a promotion only against the champion it was judged against."""
        promotes = decided.outcome == "promoted"
        if promotes:
            self._require_faced(standing, stored, folder)
        serving = standing.catalogue.champion
        after = stored.version if promotes else serving
        entry = decided.entry(standing.catalogue, stored, folder, after, author=stored.tags.get("author", ""))
        if promotes and serving == stored.version:  # of a chain that was lost
            entry["champion_before"] = entry["champion_after"]
        aliases = {PREVIOUS: serving} if promotes and serving and serving != stored.version else {}
        state = {"decision": decided.outcome, "review_state": _review_state(decided.outcome, **tags), **tags}
        if decided.outcome == "waiting":
            state["waiting_since"] = entry["decided_at"]
        described = with_state(stored.description, state_text(entry))
        return Intent(entry, aliases, {stored.version: state}, {stored.version: described})

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
        faced = faced_champion(self.paths.absolute(champion.release_path))
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
        digest = self.catalogue().find(champion.version).release
        entry = Standing(self.catalogue(), self.chain()).last_about(digest)
        return self._as_decision(champion.release_path, entry) if entry else None

    def show(self, wanted: str = CHAMPION) -> dict[str, Any]:
        """One version, by number or alias, for machines. Raises RecordInvalid when it is not there or does not hold."""
        catalogue = self.catalogue()
        stored = catalogue.find(wanted)
        return version_document(catalogue, stored, self.chain(), self.release_folder(stored))

    def list_versions(self) -> list[dict[str, Any]]:
        """Every version that holds a release, newest first."""
        catalogue, chain = self.catalogue(), self.chain()
        held = [stored for stored in catalogue.versions if "release" in stored.tags]
        return [version_document(catalogue, stored, chain, self.release_folder(stored)) for stored in held]

    def release_folder(self, stored: StoredVersion) -> Path:
        """The local folder of a version's release, every byte checked; fetched from MLflow when it is not whole."""
        return release_folder(self.paths, self.name, self.tracking_uri, stored)

    def verified_in_mlflow(self, stored: StoredVersion) -> Path:
        """`verified`, after MLflow's own copy was compared: a tag may name a release that the files are not."""
        require_registered_files(self.paths, self.name, self.tracking_uri, stored)
        return self.verified(stored)

    def verified(self, stored: StoredVersion) -> Path:
        """The same, after everything that can be checked of a release was; raises GateFailed when it failed a gate."""
        from sentinel.promotion.release import verify_release

        folder = self.release_folder(stored)
        facts = verify_release(folder, stored.release, public_keys(self.paths.keys))
        if not facts["passed"]:
            raise GateFailed(
                f"Version {stored.version} of {self.name} failed {', '.join(facts['failed'])} and cannot become "
                "champion. Train a better one, or change the thresholds in the configuration's [gates] and run again."
            )
        return folder

    def _create(self, release: Release, folder: Path, facts: dict[str, Any], author: str) -> str:
        from sentinel.promotion.mlflow_server import create_version
        from sentinel.promotion.summary import summary

        verdict = "failed" if not facts["passed"] else "undecided" if undecided_gates(folder) else "passed"
        tags = {key: str(facts[key]) for key in _FACT_TAGS}
        tags |= {"release": release.sha256, "verdict": verdict, "decision": "undecided", "review_state": "none"}
        tags |= {"author": author} if author else {}
        return create_version(
            self.tracking_uri, self.name, folder, release.run_id, tags, self.paths.data_docs / self.name,
            lambda home: summary(folder, home, self._serving_folder()),
        )  # fmt: skip

    def _serving_folder(self) -> tuple[str, Path] | None:
        """The champion with its release, where it lies here; a description is not worth a download."""
        catalogue = self.catalogue()
        if catalogue.champion is None or "release" not in (stored := catalogue.find(CHAMPION)).tags:
            return None
        folder = local_folder(self.paths, self.name, stored.release)
        return (stored.version, folder) if (folder / FACTS).is_file() else None

    def _require_faced(self, standing: Standing, stored: StoredVersion, folder: Path) -> None:
        """By number and graph: a registry that was lost and filled again counts anew."""
        serving, judged_against = standing.catalogue.champion, faced_champion(folder)
        faced, graph = (judged_against["version"], judged_against["model_sha256"]) if judged_against else (None, None)
        known = standing.catalogue.find(serving).tags.get("model_sha256") if serving else None
        if serving == stored.version or (serving, known) == (faced, graph):
            return
        made = next((entry for entry in reversed(standing.chain) if entry["champion_after"] == serving), None)
        by = f", {told(made)}" if made and serving else ""
        now = f"version {serving}" if serving else "none"
        against = f"version {faced}" if faced else "none"
        raise ChampionMoved(
            f"Champion is now {now}{by}; version {stored.version} was judged against {against}. Nothing was moved. "
            f"Run again: it is judged against {now}."
        )

    def _as_decision(self, release_path: str, entry: Entry) -> Decision:
        kept = {key: entry[key] for key in ("version", "outcome", "reason", "decided_by", "decided_at")}
        return Decision(path=release_path, sha256=entry["release"], name=self.name, **kept)

    def _as_champion(self, stored: StoredVersion) -> Champion:
        folder = self.release_folder(stored)
        facts = read_json(folder / FACTS)
        return Champion(stored.version, self.paths.relative(folder), facts["model_sha256"], facts["feature_set_hash"])


def faced_champion(folder: Path) -> dict[str, str] | None:
    """Whom a release was judged against."""
    return read_json(folder / GATES)["champion"]


def _review_state(outcome: str, **tags: str) -> str:
    states = {"waiting": "open", "expired": "expired"}
    return states.get(outcome) or tags.get("review", "none")
