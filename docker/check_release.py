"""Whether a release may score on this machine: python docker/check_release.py RELEASE_FOLDER

Every byte against the manifest, every gate against its evidence, and the golden questions answered again by the
ONNX Runtime that is installed here. Prints one JSON document; exit code 0: it holds, 8: it does not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sentinel.errors import RecordInvalid
from sentinel.promotion.verification import sentences_against
from sentinel.scoring import Scorer

CLOSE = 1e-3  # the integer instructions of another processor may round a probability otherwise


def check(folder: Path) -> dict[str, Any]:
    """The release's facts and the largest difference to its golden answers. Raises RecordInvalid."""
    if wrong := sentences_against(folder):
        raise RecordInvalid(" ".join(f"{sentence}." for sentence in wrong))
    facts = json.loads((folder / "release.json").read_text())
    if not facts["passed"]:
        raise RecordInvalid(f"Its gates did not pass: {', '.join(facts['failed'])}.")
    difference = golden_difference(folder)
    if difference > CLOSE:
        raise RecordInvalid(f"It answers its golden questions otherwise here: by {difference:.2g} of probability.")
    return {"model": facts["name"], "variant": facts["variant"], "holds": True, "golden_difference": difference}


def golden_difference(folder: Path) -> float:
    golden = json.loads((folder / "golden.json").read_text())
    numeric = np.array(golden["numeric"], dtype=np.float64)  # null becomes NaN
    categorical = np.array(golden["categorical"], dtype=np.int64).reshape(len(numeric), -1)
    answers = Scorer(folder / "model.onnx").score(numeric, categorical)
    return float(np.max(np.abs(answers - np.array(golden["probability"]))))


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("Give the folder of one release.\n")
        return 2
    try:
        sys.stdout.write(json.dumps(check(Path(arguments[0]))) + "\n")
    except RecordInvalid as error:
        sys.stdout.write(json.dumps({"holds": False, "reason": str(error)}) + "\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
