"""Sign a release with model-signing. Importing it takes seconds, so only what packages does, and late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentinel.artifacts import SIGNATURE


def sign_release(folder: Path, private: Path) -> None:
    """Write model.sig: the sha256 of every other file of the release, signed; the folder's name is in it."""
    from model_signing import hashing, signing

    hashed: Any = hashing.Config()  # the library's types are partly unknown
    config: Any = signing.Config()
    config.set_hashing_config(hashed.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False))
    config.use_elliptic_key_signer(private_key=private).sign(folder, folder / SIGNATURE)
