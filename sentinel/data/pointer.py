"""The small file that git tracks: which version of the data runs train on."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from sentinel.errors import ConfigInvalid, DataContractError


@dataclass(frozen=True)
class Pointer:
    """`version` is the md5 of the folder's listing, `size` the bytes of its files, `text` DVC's own file."""

    version: str
    size: int
    text: str


def read_pointer(file: Path) -> Pointer:
    """The pointer in the work tree. Raises ConfigInvalid when there is none."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")  # other bytes are no pointer, which is told below
    except FileNotFoundError as error:
        raise ConfigInvalid(
            f"There is no pointer {file}, so no version of the data is pinned. Write it with "
            "`sentinel data ingest SOURCE --config FILE`, or bring it back with git if it was deleted."
        ) from error
    return parse_pointer(text, file.stem, str(file))


def read_pointer_at(revision: str, file: Path, root: Path) -> Pointer:
    """The pointer as the git revision has it. Raises ConfigInvalid for an unknown revision or one without it."""
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise ConfigInvalid(
            f"Git knows no revision {revision!r} in {root}. `git log --oneline -- {file.relative_to(root)}` "
            "lists the revisions that changed the data; give one of them, a tag or a branch."
        )
    text = _git(root, "show", f"{commit.strip()}:./{file.relative_to(root).as_posix()}")
    if text is None:
        raise ConfigInvalid(
            f"Revision {revision!r} has no pointer {file.relative_to(root)}. `git log --oneline -- "
            f"{file.relative_to(root)}` lists the revisions that have one."
        )
    return parse_pointer(text, file.stem, f"{file.relative_to(root)} of revision {revision}")


def pointer_to(version: str, size: int, name: str) -> Pointer:
    """The pointer to a version of which only its md5 and its bytes are known."""
    out = {"md5": f"{version}.dir", "size": size, "hash": "md5", "path": name}
    return parse_pointer(yaml.safe_dump({"outs": [out]}, sort_keys=False), name, f"the pointer to version {version}")


def parse_pointer(text: str, name: str, where: str) -> Pointer:
    """Read the DVC file of the folder `name`. Raises DataContractError when it is anything else."""
    try:
        tree: Any = yaml.safe_load(text)
        (out,) = cast("list[dict[str, Any]]", tree["outs"])
        version = re.fullmatch(r"([0-9a-f]{32})\.dir", out["md5"])
        size = out["size"]
        if version is None or out["hash"] != "md5" or out["path"] != name or not isinstance(size, int):
            raise ValueError
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataContractError(
            f"{where} is no DVC pointer to the folder {name} (one entry in outs with md5 ending in .dir, size, "
            f"hash: md5 and path: {name}). "
            "Bring it back with git, or write it anew with `sentinel data ingest SOURCE --config FILE`."
        ) from error
    return Pointer(version[1], size, text)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ConfigInvalid("--data-version needs git, which is not installed. Install git and run again.") from error
    return answer.stdout if answer.returncode == 0 else None
