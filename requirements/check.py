"""Say what is wrong with the locks: python requirements/check.py [PROJECT FOLDER]. Exit code 1 when anything is."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

# Each lock, and what of pyproject.toml it is compiled from.
LOCKS = {
    "cpu.lock": ("dependencies", "extra cpu", "extra test"),
    "gpu.lock": ("dependencies", "extra gpu", "extra test"),
    "spark.lock": ("extra spark",),
    "bootstrap.lock": ("group bootstrap",),
    "serve.lock": ("group serve",),
}
ON_TOP_OF_CPU = "spark.lock"
SUBSETS_OF_CPU = ("bootstrap.lock", "serve.lock")
PRE_RELEASES = {
    "opentelemetry-semantic-conventions": "MLflow needs it, and only betas exist",
}
LOCAL_VERSIONS = {("cpu.lock", "torch"): "cpu"}  # the build without CUDA is told by its local version alone

PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)\s*(;[^\\]*)?\\?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(\s*\\)?")
ADDRESS = re.compile(r"[a-z+]+://|--(index|extra-index|find-links|trusted-host)|\s@\s")


@dataclass
class Pin:
    line: int
    version: str
    hashes: int = 0
    wanted_by: list[str] = field(default_factory=list)

    @property
    def is_direct(self) -> bool:
        return any("(pyproject.toml" in parent for parent in self.wanted_by)


def check_project(root: Path) -> list[str]:
    """A sentence for everything that is wrong with the locks of the project in `root`."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    faults: list[str] = []
    pins: dict[str, dict[str, Pin]] = {}
    for name, sections in LOCKS.items():
        path = root / "requirements" / name
        if not path.is_file():
            faults.append(f"requirements/{name} is missing. Run `make lock`.")
            continue
        pins[name], unreadable = read_lock(path)
        faults += unreadable
        faults += check_pins(name, pins[name])
        faults += check_direct(name, pins[name], direct_requirements(project, sections))
    return [*faults, *check_agreement(pins)]


def read_lock(path: Path) -> tuple[dict[str, Pin], list[str]]:
    """The pins of a lock by normalised name, and a sentence for each line that does not belong in one."""
    pins: dict[str, Pin] = {}
    faults: list[str] = []
    last: Pin | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        place, text = f"requirements/{path.name}:{number}", line.strip()
        if ADDRESS.search(text):
            faults.append(f"{place}: {text[:80]!r} names a host or a place. Locks name none: run `make lock`.")
        elif pin := PIN.fullmatch(text):
            name = canonicalize_name(pin["name"])
            if name in pins:
                faults.append(f"{place}: {name} is pinned twice. Run `make lock`.")
            last = pins[name] = Pin(number, pin["version"])
        elif HASH.fullmatch(text) and last:
            last.hashes += 1
        elif text.startswith("#"):
            if last and (parent := text.removeprefix("#").strip().removeprefix("via").strip()):
                last.wanted_by.append(parent)
        elif text:
            faults.append(f"{place}: {text[:80]!r} is not pinned by == to one version. Run `make lock`.")
    return pins, faults


def check_pins(lock: str, pins: dict[str, Pin]) -> Iterator[str]:
    """Hashes, pre-releases, and builds that are not the published ones."""
    for name, pin in pins.items():
        place = f"requirements/{lock}:{pin.line}: {name}=={pin.version}"
        if not pin.hashes:
            yield f"{place} has no sha256 hash. Run `make lock`."
        try:
            version = Version(pin.version)
        except InvalidVersion:
            yield f"{place} is no single version. Run `make lock`."
            continue
        if version.is_prerelease and (version.is_devrelease or name not in PRE_RELEASES):
            yield (
                f"{place} is a pre-release. Ask for a released version in pyproject.toml, "
                "or add it with its reason to PRE_RELEASES in requirements/check.py."
            )
        if version.local != LOCAL_VERSIONS.get((lock, name)):
            expected = LOCAL_VERSIONS.get((lock, name))
            build = f"the build +{expected}" if expected else "the published build, without +"
            yield f"{place} should be {build}. Run `make lock`."


def direct_requirements(project: dict[str, Any], sections: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml itself asks for in `sections`."""
    texts: list[str] = []
    for section in sections:
        kind, _, name = section.partition(" ")
        if kind == "dependencies":
            texts += project["project"]["dependencies"]
        elif kind == "extra":
            texts += project["project"]["optional-dependencies"][name]
        else:
            texts += project["dependency-groups"][name]
    return [Requirement(text) for text in texts]


def check_direct(lock: str, pins: dict[str, Pin], wanted: list[Requirement]) -> Iterator[str]:
    """Whether lock and pyproject.toml are in step."""
    place = f"requirements/{lock}"
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        pin = pins.get(name)
        if pin is None:
            yield f"{place} lacks {name}, which pyproject.toml asks for. Run `make lock`."
        elif not requirement.specifier.contains(pin.version, prereleases=True):
            asked = f"{name}{requirement.specifier}"
            yield f"{place}:{pin.line}: {name}=={pin.version}, but pyproject.toml asks for {asked}. Run `make lock`."
    names = {canonicalize_name(requirement.name) for requirement in wanted}
    for name, pin in pins.items():
        if pin.is_direct and name not in names:
            yield f"{place}:{pin.line}: pyproject.toml no longer asks for {name}. Run `make lock`."


def check_agreement(pins: dict[str, dict[str, Pin]]) -> Iterator[str]:
    """What must hold between packages and between locks."""
    for lock, packages in pins.items():
        if {"onnxruntime", "onnxruntime-gpu"} <= set(packages):
            yield (
                f"requirements/{lock} has onnxruntime and onnxruntime-gpu, which overwrite each other's files. "
                "Keep one of them in its extra of pyproject.toml and run `make lock`."
            )
    everything = pins.get("cpu.lock", {})
    for name, pin in pins.get(ON_TOP_OF_CPU, {}).items():
        if name in everything:
            yield f"requirements/{ON_TOP_OF_CPU}:{pin.line}: {name} stands in cpu.lock already. Run `make lock`."
    for lock in SUBSETS_OF_CPU:
        for name, pin in pins.get(lock, {}).items():
            if name in everything and everything[name].version != pin.version:
                yield (
                    f"requirements/{lock}:{pin.line}: {name}=={pin.version}, but cpu.lock has "
                    f"{everything[name].version}. Run `make lock`."
                )


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).parents[1]
    faults = check_project(root)
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if not faults:
        sys.stdout.write(f"{', '.join(LOCKS)}: every package pinned and hashed, in step with pyproject.toml\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
