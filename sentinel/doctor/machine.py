"""The machine: Python, processor, git, and the disk that holds the local state."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from sentinel.doctor.finding import Finding
from sentinel.paths import Paths

SUPPORTED_PYTHON = "3.11"
SCARCE_BYTES = 10_000_000_000  # a run on 1.75 million transactions and its history fit in this
TOO_FEW_BYTES = 2_000_000_000
INT8_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


def check_python(version: str | None = None) -> Finding:
    version = version or platform.python_version()
    if version.startswith(f"{SUPPORTED_PYTHON}."):
        return Finding("python", "ok", f"Python {version}")
    mend = f"Install Python {SUPPORTED_PYTHON}, remove .venv, and run `make run`."
    return Finding("python", "problem", f"Python {version}, and the locks are for {SUPPORTED_PYTHON}", mend)


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    """What the processor offers to INT8 and bf16. Never a problem: export and training measure and choose."""
    try:
        flags = {word for line in cpuinfo.read_text().splitlines() for word in line.split()}
    except OSError:
        return Finding("processor", "ok", f"{platform.machine()}; its features cannot be read here")
    int8 = [flag for flag in INT8_FLAGS if flag in flags]
    bf16 = [flag for flag in BF16_FLAGS if flag in flags]
    of_int8 = f"INT8 by {', '.join(int8)}" if int8 else "no INT8 instructions (INT8 may be no faster than FP32)"
    of_bf16 = f"bf16 by {', '.join(bf16)}" if bf16 else "no bf16 instructions (training on it uses FP32)"
    return Finding("processor", "ok", f"{of_int8}; {of_bf16}")


def check_git(root: Path) -> Finding:
    """Runs record the commit they were made from."""
    if shutil.which("git") is None:
        return Finding("git", "problem", "no git command", "Install git: runs record the commit they were made from.")
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next(iter(done.stderr.strip().splitlines()), "no commit")
        mend = f"Make {root} a git repository with a commit, so that runs can record what they were made from."
        return Finding("git", "warning", reason, mend)
    return Finding("git", "ok", f"commit {done.stdout.strip()}")


def check_home(paths: Paths) -> Finding:
    """Whether local state can be written; tried with a nameless file that leaves nothing behind."""
    existing = _nearest(paths.home)
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"?")
    except OSError as error:
        mend = f"Make {existing} writable for this user, or point SENTINEL_HOME at a folder that is."
        return Finding("local state", "problem", f"{existing} cannot be written: {error.strerror}", mend)
    return Finding("local state", "ok", f"{paths.home} can be written")


def check_disk(paths: Paths, free_bytes: int | None = None) -> Finding:
    free = shutil.disk_usage(_nearest(paths.home)).free if free_bytes is None else free_bytes
    found = f"{free / 1e9:,.1f} GB free for {paths.home}"
    if free >= SCARCE_BYTES:
        return Finding("free disk", "ok", found)
    mend = f"Free some room (a run wants {SCARCE_BYTES / 1e9:.0f} GB), or point SENTINEL_HOME at another disk."
    return Finding("free disk", "problem" if free < TOO_FEW_BYTES else "warning", found, mend)


def _nearest(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())
