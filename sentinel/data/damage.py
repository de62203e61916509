"""From what a survey found to what the user reads: which copy is bad, which is good, how to mend it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from sentinel.data.survey import WORK_TREE, Copy, Survey
from sentinel.errors import DataDamaged

CopyCommand = Callable[[str, str], str]  # from, to: the shell command that copies one object


def refuse_damage(found: Survey, copy_command: CopyCommand, *, fillable: bool) -> None:
    """Raise DataDamaged naming every damaged or missing object. Pure: nothing is mended here."""
    faults = faults_of(found)
    if faults:
        sentences = [_sentence(found, fault, copy_command, fillable=fillable) for fault in faults]
        raise DataDamaged("\n".join([*sentences, "Nothing was changed."]))


def faults_of(found: Survey) -> list[Copy]:
    """A missing object is a fault in the remote, in a work tree that has others, and in a cache that once was whole."""
    cache_was_whole = found.has_folder and found.is_cached
    return [
        copy
        for copy in found.copies
        if not copy.good and (copy.found is not None or copy.place != "cache" or cache_was_whole)
    ]


def _sentence(found: Survey, fault: Copy, copy_command: CopyCommand, *, fillable: bool) -> str:
    if fault.expected is None:
        return (
            f"Damaged data: {fault.where} in the work tree is no part of the pinned version {found.version}. "
            f"Remove it: rm {shlex.quote(fault.where)}"
        )
    state = f"its md5 is {fault.found}" if fault.found else "it is missing"
    return (
        f"Damaged data: {fault.name} in the {fault.place} ({fault.where}) does not hold the bytes of version "
        f"{found.version}: its md5 must be {fault.expected}, and {state}. "
        f"{_mend(found, fault, copy_command, fillable=fillable)}"
    )


def _mend(found: Survey, fault: Copy, copy_command: CopyCommand, *, fillable: bool) -> str:
    good = [copy for copy in found.copies if copy.good and copy.expected == fault.expected]
    if good:
        wanted = " If the change is wanted, pin it with `sentinel data ingest`." if fault.place == WORK_TREE else ""
        command = copy_command(good[0].where, fault.where)
        return f"A good copy is in the {good[0].place} ({good[0].where}). Mend it with: {command}{wanted}"
    if fillable:
        left = [copy.where for copy in found.copies if copy.found is not None and copy.place != WORK_TREE]
        folder = [str(found.folder)] if found.has_folder else []
        command = " ".join(["rm -rf", *(shlex.quote(path) for path in [*left, *folder])])
        return f"No good copy is left. Remove this version, and the next run makes it anew: {command}"
    return (
        "No good copy is left here. Restore one from a backup, or ingest the source again with "
        "`sentinel data ingest SOURCE --config FILE`."
    )


def local_copy_command(source: str, target: str) -> str:
    parent = Path(target).parent
    make = "" if parent.is_dir() else f"mkdir -p {shlex.quote(str(parent))} && "
    return f"{make}cp -f {shlex.quote(source)} {shlex.quote(target)}"
