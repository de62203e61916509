"""tests/install_debian_packages.sh, up to the point where it would change the machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(packages: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """As a user who is not root, whoever runs the tests: nothing is installed."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    command = [str(ROOT / "tests" / "install_debian_packages.sh"), str(packages)]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_what_is_there_is_not_asked_for(tmp_path: Path) -> None:
    packages = tmp_path / "packages.txt"
    packages.write_text("# a remark\n\ncoreutils    true\n")
    done = install(packages, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_package_is_named_to_a_user_who_may_not_install_it(tmp_path: Path) -> None:
    packages = tmp_path / "packages.txt"
    packages.write_text("coreutils true\nanvil-server  anvil-server --version\nrope  false || false\n")
    done = install(packages, tmp_path)
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends anvil-server rope" in done.stderr
    assert "coreutils" not in done.stderr


def test_every_package_the_tests_need_is_installed_here(tmp_path: Path) -> None:
    done = install(ROOT / "tests" / "debian_packages.txt", tmp_path)
    assert done.returncode == 0, done.stderr
