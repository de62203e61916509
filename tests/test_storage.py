"""A file or folder is complete or absent; a full disk is told in a sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sentinel.errors import DataContractError, DiskFull
from sentinel.storage import (
    canonical_json,
    complete_file,
    complete_folder,
    remove_leftovers,
    require_free_disk,
    sha256_path,
)  # fmt: skip


def test_failed_writer_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "kept.json"
    target.write_text("before")
    with pytest.raises(ValueError, match="broken"), complete_file(target) as temporary:
        temporary.write_text("half")
        raise ValueError("broken")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_failed_writer_leaves_the_earlier_folder_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    with complete_folder(target) as folder:
        (folder / "a").write_text("before")
    with pytest.raises(ValueError, match="broken"), complete_folder(target) as folder:
        (folder / "a").write_text("half")
        raise ValueError("broken")
    assert (target / "a").read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".table.123.partial").mkdir()
    (tmp_path / ".table.123.partial" / "half").write_text("x")
    (tmp_path / ".table.456.partial").write_text("x")
    kept = [tmp_path / "table", tmp_path / ".tables.123.partial"]
    for path in kept:
        path.write_text("x")
    remove_leftovers(tmp_path / "table")
    assert sorted(tmp_path.iterdir()) == sorted(kept)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("IO Error: Could not write all bytes: No space left on device"),
        RuntimeError("(sqlite3.OperationalError) database or disk is full"),
    ],
)
def test_full_disk_is_told_in_a_sentence_whoever_meets_it(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(DiskFull, match=r"kept\.parquet"), complete_file(tmp_path / "kept.parquet"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="No space left on device"), complete_file(tmp_path / "file"):
        raise DataContractError("the label says 'No space left on device'")


def test_too_little_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="SENTINEL_HOME"):
        require_free_disk(tmp_path / "not" / "yet" / "there", 10**18)
    assert list(tmp_path.iterdir()) == []


def test_digest_of_a_folder_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    first = sha256_path(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256_path(tmp_path) != first


def test_equal_values_give_equal_json() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "ü"]}) == '{"a":[1.5,"ü"],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))
