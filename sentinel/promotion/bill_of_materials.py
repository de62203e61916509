"""The bill of materials: every installed distribution of the lock, as CycloneDX in JSON.

It holds no moment and no random number, so that equal machines write equal bytes.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageMetadata, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sentinel.storage import sha256_file

UNKNOWN = "unknown"
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LONGEST = 100  # characters of a licence's name; more is its text


@dataclass(frozen=True)
class Distribution:
    """One pin of the lock as it is installed here. `hashes`: sha256 of the files that the lock allows."""

    name: str
    version: str
    hashes: tuple[str, ...]
    licence: str
    is_expression: bool = False  # of SPDX, as new packages declare it


def installed_distributions(lock: Path) -> list[Distribution]:
    """In the lock's order. What the lock names for other platforms, and is not installed here, is left out."""
    found: list[Distribution] = []
    for name, version, hashes in _pins(lock.read_text(encoding="utf-8")):
        try:
            here = distribution(name)
        except PackageNotFoundError:
            continue
        licence, is_expression = _licence(here.metadata)
        known = hashes if here.version == version else ()  # the hashes are of the locked version alone
        found.append(Distribution(name, here.version, known, licence, is_expression))
    return found


def bill_of_materials(lock: Path, distributions: list[Distribution]) -> dict[str, Any]:
    """A CycloneDX 1.6 document."""
    properties = {"lock": lock.name, "lock_sha256": sha256_file(lock), "python": platform.python_version()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "sentinel", "name": "sentinel"},
            "properties": [{"name": f"sentinel:{key}", "value": value} for key, value in properties.items()],
        },
        "components": [_component(one) for one in distributions],
    }


def _component(one: Distribution) -> dict[str, Any]:
    package_url = f"pkg:pypi/{one.name}@{quote(one.version)}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": package_url,
        "name": one.name,
        "version": one.version,
        "purl": package_url,
        "hashes": [{"alg": "SHA-256", "content": content} for content in one.hashes],
    }
    if one.licence != UNKNOWN:
        stated = {"expression": one.licence} if one.is_expression else {"license": {"name": one.licence}}
        component["licenses"] = [stated]
    return component


def _pins(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, version and hashes of each pin."""
    found: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        if pin := _PIN.match(line):
            found.append((re.sub(r"[-_.]+", "-", pin[1]).lower(), pin[2], []))
        if found:
            found[-1][2].extend(_HASH.findall(line))
    return [(name, version, tuple(hashes)) for name, version, hashes in found]


def _licence(metadata: PackageMetadata) -> tuple[str, bool]:
    """The licence as the package states it, the newest way first, and whether it is an SPDX expression."""
    stated = {name: metadata.get_all(name) or [] for name in ("License-Expression", "License", "Classifier")}
    if expression := "".join(stated["License-Expression"]).strip():
        return expression, True
    classes = [one.rpartition(" :: ")[2] for one in stated["Classifier"] if one.startswith("License ::")]
    classes = [one for one in classes if one != "OSI Approved"]  # that it is approved does not say which it is
    named = "".join(stated["License"]).strip()
    if named and named.upper() != "UNKNOWN" and "\n" not in named and len(named) <= _LONGEST:
        return named, False
    if classes:
        return " and ".join(classes), False
    return named.splitlines()[0].strip()[:_LONGEST] if named and named.upper() != "UNKNOWN" else UNKNOWN, False
