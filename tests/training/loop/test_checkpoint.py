from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sentinel.training.loop import checkpoint
from sentinel.training.loop.checkpoint import POINTER, SLOTS, Checkpoint, Checkpoints

FINGERPRINT = {"seed": 7, "rows": "abc"}


def state(number: float = 1.0) -> Checkpoint:
    tensors = {"net.weight": torch.full((3, 4), number), "moments.step": torch.tensor(number)}
    return Checkpoint(tensors, {"loss": 0.1 + number, "epochs": [1, 2]})


def stored(folder: Path, facts: dict[str, Any] | None = None) -> Checkpoints:
    checkpoints = Checkpoints(folder, FINGERPRINT, facts)
    checkpoints.write(state())
    return checkpoints


def test_what_is_read_is_what_was_written_last_to_the_bit(tmp_path: Path) -> None:
    stored(tmp_path, {"run_id": "r1"}).write(state(1 / 3))
    other = Checkpoints(tmp_path, FINGERPRINT)
    found = other.read()
    assert found and found.numbers == {"loss": 0.1 + 1 / 3, "epochs": [1, 2]}
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in state(1 / 3).tensors.items())
    assert other.facts == {"run_id": "r1"}


def test_without_a_checkpoint_nothing_is_read(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", FINGERPRINT).read() is None


@pytest.mark.parametrize("now", [{"seed": 8, "rows": "abc"}, {"seed": 7}, {**FINGERPRINT, "threads": 2}])
def test_a_checkpoint_of_another_training_is_not_used(
    tmp_path: Path, now: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    stored(tmp_path)
    assert Checkpoints(tmp_path, now).read() is None
    changed = next(name for name in ("threads", "rows", "seed") if now.get(name) != FINGERPRINT.get(name))
    assert f"{changed}: {FINGERPRINT.get(changed)}, now {now.get(changed)}" in caplog.text


def _cut(folder: Path) -> None:
    file = folder / SLOTS[0]
    file.write_bytes(file.read_bytes()[:-1])


def _flip(folder: Path) -> None:
    content = bytearray((folder / SLOTS[0]).read_bytes())
    content[-2] ^= 1
    (folder / SLOTS[0]).write_bytes(content)


def _edit(folder: Path) -> None:
    text = (folder / POINTER).read_text()
    (folder / POINTER).write_text(text.replace('"loss": 1.1', '"loss": 1.2'))


def _point_elsewhere(folder: Path) -> None:
    body = json.loads((folder / POINTER).read_text())
    body["tensors"]["file"] = "../elsewhere.safetensors"
    (folder / POINTER).write_text(json.dumps(body))


DAMAGES: list[Callable[[Path], object]] = [
    _cut,
    _flip,
    _edit,
    _point_elsewhere,
    lambda folder: (folder / SLOTS[0]).unlink(),
    lambda folder: (folder / POINTER).write_text(""),
    lambda folder: (folder / POINTER).write_text("[1]"),
    lambda folder: (folder / POINTER).write_bytes(b"\xff\xfe"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_not_used(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = stored(tmp_path)
    damage(tmp_path)
    assert Checkpoints(tmp_path, FINGERPRINT).read() is None
    assert "damaged" in caplog.text
    checkpoints.write(state(2.0))  # and is no obstacle
    assert Checkpoints(tmp_path, FINGERPRINT).read()


@pytest.mark.parametrize("broken", ["save_file", "sha256_file", "write_json"])
def test_a_write_that_ends_halfway_leaves_the_last_checkpoint(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = stored(tmp_path)

    def fail(*given: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(checkpoint, broken, fail)
            checkpoints.write(state(2.0))
        found = Checkpoints(tmp_path, FINGERPRINT).read()
        assert found and float(found.tensors["moments.step"]) == 1.0


def test_nothing_is_left_after_discarding(tmp_path: Path) -> None:
    checkpoints = stored(tmp_path)
    checkpoints.write(state(2.0))
    (tmp_path / f".{SLOTS[0]}.12.partial").write_bytes(b"of a killed process")
    checkpoints.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seconds_a_write", "seconds"), [(0.001, 30), (0.05, 30), (2.0, 500), (30.0, 5000)])
def test_writing_takes_less_than_a_twentieth_of_the_time(
    tmp_path: Path, seconds_a_write: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which a step takes 20 ms and a write as long as it does."""
    now = 0.0
    sizes = seconds_a_write * checkpoint.GUESSED_BYTES_A_SECOND  # as guessed: the disk is neither slow nor fast

    def digest(file: Path) -> str:
        nonlocal now
        now += seconds_a_write
        return "0" * 64

    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(checkpoint, "sha256_file", digest)
    monkeypatch.setattr(checkpoint, "save_file", lambda tensors, file: Path(file).touch())
    monkeypatch.setattr(checkpoint, "_sync_folder", lambda folder: None)
    checkpoints, writes = Checkpoints(tmp_path, FINGERPRINT), 0
    checkpoints.begin(int(sizes))
    while now < seconds:
        now += 0.02
        if checkpoints.is_due():
            checkpoints.write(state())
            writes += 1
    assert checkpoints.seconds < 0.05 * now
    assert seconds / (27 * max(seconds_a_write, 1 / 25)) - 2 < writes <= seconds


def test_a_pointer_of_a_later_version_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored(tmp_path)
    body = json.loads((tmp_path / POINTER).read_text())
    (tmp_path / POINTER).write_text(json.dumps(body | {"format": 2}))
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(tmp_path, FINGERPRINT).read() is None
    assert "format 2" in caplog.text


@pytest.mark.parametrize("name", [POINTER, *SLOTS])
def test_folder_in_the_place_of_a_file_is_damage(tmp_path: Path, name: str) -> None:
    checkpoints = Checkpoints(tmp_path, {})
    for step in (1, 2):
        checkpoints.write(Checkpoint({"a": torch.ones(step)}, {"step": step}))
    (tmp_path / name).unlink()
    (tmp_path / name / "within").mkdir(parents=True)
    found = Checkpoints(tmp_path, {}).read()
    assert found is None or found.numbers["step"] == 2
    for step in (3, 4):
        checkpoints.write(Checkpoint({"a": torch.ones(step)}, {"step": step}))
        again = Checkpoints(tmp_path, {}).read()
        assert again is not None and again.numbers["step"] == step
