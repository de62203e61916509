"""What is known of the lock's libraries: their licences, and their vulnerabilities by pip-audit.

Information for a reviewer, not a gate. Where no database of vulnerabilities answers, nothing was checked, and that is
what is written: never that none were found.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sentinel.promotion.bill_of_materials import UNKNOWN, Distribution

DATABASE = "https://api.osv.dev/v1/query"
NOT_REACHED = "not checked: no vulnerability database was reached"
_COPYLEFT = re.compile(r"GPL|GNU|MPL|Mozilla|EPL|Eclipse|EUPL|CDDL|CeCILL|OSL|CC-BY-SA", re.IGNORECASE)
_PROBE_S, _AUDIT_S, _ANSWER_S = 4, 60, 10
_TAIL = 300  # characters of a failed audit's last words
# In a process of its own, because a look-up of a name cannot be given up.
_PROBE = """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=3)
except urllib.error.HTTPError:
    pass
"""


def audit_libraries(distributions: list[Distribution], database: str = DATABASE) -> dict[str, Any]:
    """The content of libraries.json."""
    licences = Counter(one.licence for one in distributions)
    return {
        "distributions": len(distributions),
        "licences": dict(sorted(licences.items(), key=lambda item: (-item[1], item[0]))),
        "unknown": [one.name for one in distributions if one.licence == UNKNOWN],
        "copyleft": [
            {"name": one.name, "version": one.version, "licence": one.licence}
            for one in distributions
            if _COPYLEFT.search(one.licence)
        ],
        "vulnerabilities": _vulnerabilities(distributions, database),
    }


def database_answers(database: str = DATABASE) -> bool:
    """Asked once and briefly: about hundreds of libraries a database that does not answer would be asked in vain."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE, database], capture_output=True, timeout=_PROBE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0


def _vulnerabilities(distributions: list[Distribution], database: str) -> dict[str, Any]:
    if not database_answers(database):
        return _not_checked(NOT_REACHED)
    with tempfile.TemporaryDirectory() as scratch:
        pins = Path(scratch) / "requirements.txt"
        # a local version (2.13.0+cpu) is a build of ours and theirs, which no database lists
        pins.write_text("".join(f"{one.name}=={one.version.partition('+')[0]}\n" for one in distributions))
        command = [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip"),
            *("--vulnerability-service", "osv", "--osv-url", database, "--timeout", str(_ANSWER_S)),
            *("--format", "json", "--progress-spinner", "off", "--cache-dir", str(Path(scratch) / "cache")),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_AUDIT_S, check=False)
        except subprocess.TimeoutExpired:
            return _not_checked(f"not checked: the database had not answered about all libraries after {_AUDIT_S} s")
    try:
        return _checked(json.loads(done.stdout)["dependencies"], database)
    except (ValueError, KeyError, TypeError):  # with vulnerabilities, too, the exit code is 1
        return _not_checked(f"not checked: pip-audit ended with {done.returncode}: {done.stderr[-_TAIL:].strip()}")


def _not_checked(reason: str) -> dict[str, Any]:
    return {"checked": False, "sentence": reason, "found": []}


def _checked(dependencies: list[dict[str, Any]], database: str) -> dict[str, Any]:
    found = [
        {
            "name": one["name"],
            "version": one["version"],
            "id": fault["id"],
            "aliases": fault["aliases"],
            "fixed_in": fault["fix_versions"],
            "description": fault["description"],
        }
        for one in dependencies
        for fault in cast("list[dict[str, Any]]", one.get("vulns", []))
    ]
    left_out = [str(one["name"]) for one in dependencies if "skip_reason" in one]
    asked = len(dependencies) - len(left_out)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    named = sorted({str(one["name"]) for one in found})
    what = f"{len(found)} known in {', '.join(named)}" if found else "none known"
    sentence = f"{what}, of {asked} libraries asked about at {database} on {today}"
    if left_out:
        sentence += f"; not checked: {', '.join(left_out)}"
    return {"checked": True, "sentence": sentence, "found": found}
