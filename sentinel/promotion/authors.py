"""Who started a run, and who decides: names that the machine knows. They prove nothing; they make slips visible."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from sentinel.promotion.words import same_person

_BETWEEN = " / "


def read_author(root: Path) -> str:
    """By which names whoever runs this is known: to git in the folder `root`, and to the operating system."""
    asked = [["git", "config", "user.name"], ["git", "config", "user.email"]]
    done = [subprocess.run(one, cwd=root, capture_output=True, text=True, check=False) for one in asked]
    names = [one.stdout.strip() for one in done if one.returncode == 0]
    return _BETWEEN.join(dict.fromkeys(name for name in (*names, system_user()) if name))


def system_user() -> str:
    """The operating system's user; empty where it has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def is_author(name: str, author: str) -> bool:
    """Whether `name` is one of those by which the author is known."""
    return any(same_person(name, known) for known in author.split(_BETWEEN))
