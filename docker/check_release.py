"""Whether a release may score on this machine: python docker/check_release.py RELEASE_FOLDER PUBLIC_KEY

Every byte against the manifest, the signature by the public key alone, every gate against its evidence, and the golden
questions answered again by the ONNX Runtime that is installed here. Prints one JSON document; exit code 0: it holds,
8: it does not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sentinel.errors import RecordInvalid
from sentinel.promotion.golden_answers import golden_difference
from sentinel.promotion.verification import sentences_against


def check(folder: Path, public: Path) -> dict[str, Any]:
    """The release's facts and the largest difference to its golden answers. Raises RecordInvalid."""
    if wrong := sentences_against(folder, None, [public]):
        raise RecordInvalid(" ".join(f"{sentence}." for sentence in wrong))
    facts = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    if not facts["passed"]:
        raise RecordInvalid(f"Its gates did not pass: {', '.join(facts['failed'])}.")
    difference = golden_difference(folder)
    return {"model": facts["name"], "variant": facts["variant"], "holds": True, "golden_difference": difference}


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        sys.stderr.write("Give the folder of one release, and the public key of who signed it.\n")
        return 2
    try:
        sys.stdout.write(json.dumps(check(Path(arguments[0]), Path(arguments[1]))) + "\n")
    except RecordInvalid as error:
        sys.stdout.write(json.dumps({"holds": False, "reason": str(error)}) + "\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
