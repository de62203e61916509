"""What the registry holds of one model: its aliases, and its versions with their tags."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.errors import RecordInvalid

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
_RELEASE = "release"  # the tag that holds the digest of a version's release
_FEATURE_SET = "feature_set_hash"
_SERVING = (CHAMPION, CHALLENGER, PREVIOUS)


@dataclass(frozen=True)
class StoredVersion:
    """A version as MLflow holds it. `source` is where its files lie."""

    version: str
    run_id: str | None
    source: str
    tags: dict[str, str]
    description: str = ""

    @property
    def release(self) -> str:
        """The digest of its release. Raises RecordInvalid for a version that did not come from one."""
        if _RELEASE not in self.tags:
            raise RecordInvalid(
                f"Version {self.version} names no release: it was registered by hand. Give the alias to a version "
                "that `sentinel models list` shows with a release."
            )
        return self.tags[_RELEASE]

    @property
    def feature_set_hash(self) -> str:
        return self.tags.get(_FEATURE_SET, "")


@dataclass(frozen=True)
class Catalogue:
    """`aliases`: alias to version. `versions`: newest first."""

    name: str
    aliases: dict[str, str]
    versions: tuple[StoredVersion, ...]

    @property
    def champion(self) -> str | None:
        return self.aliases.get(CHAMPION)

    def find(self, wanted: str) -> StoredVersion:
        """By alias or number. Raises RecordInvalid with what there is."""
        number = self.aliases.get(wanted, wanted)
        for stored in self.versions:
            if stored.version == number:
                return stored
        there = ", ".join([*self.aliases, *(stored.version for stored in self.versions)])
        raise RecordInvalid(f"Model {self.name} has no version or alias {wanted!r}; it has {there or 'none'}.")

    def feature_sets_in_use(self) -> list[tuple[str, str, str]]:
        """(version, alias, hash of its feature set) of what serves, may serve, or would serve again."""
        hashes = {stored.version: stored.feature_set_hash for stored in self.versions}
        found = [(version, alias, hashes.get(version)) for alias, version in sorted(self.aliases.items())]
        return [(version, alias, used) for version, alias, used in found if alias in _SERVING and used]

    def of_release(self, digest: str) -> StoredVersion | None:
        """The first version that holds this release."""
        held = [stored for stored in self.versions if stored.tags.get(_RELEASE) == digest]
        return held[-1] if held else None
