"""The signed statement, kept as a tag of a version, that a writer of Sentinel made it champion.

By it the guard of one machine knows the decision of another from an alias that somebody set by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from sentinel.promotion.keys import fingerprint, read_public, sign
from sentinel.storage import canonical_json

TAG = "champion_warrant"


def write_warrant(entry: dict[str, Any], private: Path) -> str:
    content = {**entry, "key": fingerprint(private)}
    return canonical_json({**content, "signature": sign(canonical_json(content).encode(), private)})


def read_warrant(
    text: str | None, publics: list[Path], *, name: str, version: str, release: str
) -> dict[str, Any] | None:
    """The entry of the decision, when a trusted key signed it about just this version; else None."""
    try:
        document = json.loads(text or "")
        content = {key: value for key, value in document.items() if key != "signature"}
        signature = str(document["signature"])
    except (ValueError, KeyError, AttributeError):
        return None
    about = (content.get("name"), content.get("champion_after"), content.get("release"))
    if about != (name, version, release):
        return None
    signed = canonical_json(content).encode()
    for public in map(read_public, publics):
        if public.fingerprint == content.get("key") and public.has_signed(signed, signature):
            return cast("dict[str, Any]", {key: value for key, value in content.items() if key != "key"})
    return None
