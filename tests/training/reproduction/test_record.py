"""What a training was made of: kept in files, and compared word by word with what is there now."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.errors import RecordInvalid
from sentinel.training.reproduction.record import (
    INGREDIENTS,
    Data,
    Environment,
    Ingredients,
    Machine,
    Packages,
    environment_differences,
    feature_differences,
    machine_differences,
    read_ingredients,
    read_outcome,
    write_ingredients,
)

PACKAGES = Packages(locked={"numpy": "2.4.6", "torch": "2.13.0"}, installed={"numpy": "2.4.6", "torch": "2.13.0"})
HERE = Environment(
    git_commit="c" * 40,
    git_is_clean=True,
    lock="cpu.lock",
    lock_sha256="1" * 64,
    python="3.11.9",
    code={"sentinel/model/network.py": "a" * 64, "sentinel/training/loop/loop.py": "b" * 64},
    packages=PACKAGES,
)
MADE = Ingredients(
    name="small",
    run="20260101T000000-abcdef",
    seed=7,
    data=Data(version="d" * 32, bytes=100, transactions_sha256="e" * 64),
    features_sha256="f" * 64,
    splits_sha256="0" * 64,
    config={"name": "small", "training": {"seed": 7}},
    environment=HERE,
)
CPU = Machine(device="cpu", name="Xeon", precision="fp32", threads=2)


def changed(**values: object) -> Environment:
    return HERE.model_copy(update=values)


def sentences(now: Environment) -> list[str]:
    return [one.sentence for one in environment_differences(HERE, now)]


def test_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==2.4.6\n")
    write_ingredients(tmp_path / "record", MADE, lock)
    assert read_ingredients(tmp_path / "record") == MADE
    assert (tmp_path / "record" / "cpu.lock").read_text() == "numpy==2.4.6\n"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"name": 7}'])
def test_damaged_record_is_refused_in_a_sentence(tmp_path: Path, content: str | None) -> None:
    lock = tmp_path / "lock"
    lock.write_text("")
    write_ingredients(tmp_path, MADE, lock)
    (tmp_path / INGREDIENTS).unlink()
    if content is not None:
        (tmp_path / INGREDIENTS).write_text(content)
    with pytest.raises(RecordInvalid, match="cannot be read"):
        read_ingredients(tmp_path)


def test_training_that_did_not_end_has_no_outcome(tmp_path: Path) -> None:
    with pytest.raises(RecordInvalid, match="ended early"):
        read_outcome(tmp_path)


def test_nothing_differs_from_itself() -> None:
    assert environment_differences(HERE, HERE) == []
    assert machine_differences(CPU, CPU) == []
    assert feature_differences(MADE, MADE.features_sha256, MADE.splits_sha256) == []


def test_another_commit_alone_is_no_difference() -> None:
    """What counts are the files that the training depends on."""
    assert sentences(changed(git_commit="d" * 40, git_is_clean=False)) == []


def test_each_package_of_the_lock_that_differs_is_named_with_both_versions() -> None:
    packages = Packages(locked={"numpy": "2.4.5", "tabm": "1.0"}, installed=PACKAGES.installed)
    assert sentences(changed(lock_sha256="2" * 64, packages=packages)) == [
        "lock numpy: 2.4.6 then, 2.4.5 now",
        "lock tabm: absent then, 1.0 now",
        "lock torch: 2.13.0 then, absent now",
    ]


def test_lock_with_the_same_versions_and_other_bytes_is_named() -> None:
    assert sentences(changed(lock_sha256="2" * 64)) == [
        "lock file: cpu.lock 111111111111 then, cpu.lock 222222222222 now"
    ]


def test_what_is_installed_beside_the_lock_is_named() -> None:
    packages = Packages(locked=PACKAGES.locked, installed={**PACKAGES.installed, "torch": "2.12.0"})
    assert sentences(changed(packages=packages, python="3.11.10")) == [
        "package torch: 2.13.0 then, 2.12.0 now",
        "package python: 3.11.9 then, 3.11.10 now",
    ]


def test_each_file_that_differs_is_named() -> None:
    code = {"sentinel/training/loop/loop.py": "9" * 64, "sentinel/training/loop/step.py": "8" * 64}
    assert sentences(changed(code=code)) == [
        "code sentinel/model/network.py: aaaaaaaaaaaa then, absent now",
        "code sentinel/training/loop/loop.py: bbbbbbbbbbbb then, 999999999999 now",
        "code sentinel/training/loop/step.py: absent then, 888888888888 now",
    ]


def test_another_machine_is_named_by_what_matters() -> None:
    card = CPU.model_copy(update={"device": "cuda", "name": "H200", "threads": 16})
    assert [one.sentence for one in machine_differences(CPU, card)] == [
        "machine device: cpu then, cuda now",
        "machine name: Xeon then, H200 now",
        "machine threads: 2 then, 16 now",
    ]


def test_features_that_came_out_otherwise_are_named() -> None:
    assert [one.sentence for one in feature_differences(MADE, "1" * 64, MADE.splits_sha256)] == [
        "features table: ffffffffffff then, 111111111111 now"
    ]
