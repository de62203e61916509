from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import GateReport, Release
from sentinel.errors import RecordInvalid
from sentinel.promotion.release import package, verify_release
from sentinel.scoring import Scorer
from sentinel.storage import canonical_json, sha256_file
from tests.promotion.standins import DATA_PROFILE, PROVENANCE, Stages, packaged, read_json, stages


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stages, GateReport, Release]:
    return packaged(stages(tmp_path_factory.mktemp("packed") / "home", variant_weight=1.5001e-3))


@pytest.fixture
def copy(packed: tuple[Stages, GateReport, Release], tmp_path: Path) -> Path:
    made, _, release = packed
    folder = Path(shutil.copytree(made.home / release.path, tmp_path / Path(release.path).name))
    for file in folder.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    return folder


def test_folder_is_named_by_the_digest_of_its_manifest(packed: tuple[Stages, GateReport, Release]) -> None:
    made, _, release = packed
    folder = made.home / release.path

    assert folder.name == release.sha256[:16] == sha256_file(folder / "manifest.json")[:16]
    assert release.holds(made.home)
    assert verify_release(folder, release.sha256)["passed"] is release.passed is True
    assert not any(file.stat().st_mode & 0o222 for file in folder.rglob("*") if file.is_file())


def test_same_content_gives_the_same_release(packed: tuple[Stages, GateReport, Release], tmp_path: Path) -> None:
    made, report, release = packed

    again = package(
        report, made.validated, made.table, made.splits, made.trained, made.onnx, made.candidates, PROVENANCE,
        DATA_PROFILE, name="tests", home=made.home, out_root=tmp_path,
    )  # fmt: skip

    assert again.sha256 == release.sha256
    assert [path.name for path in tmp_path.iterdir()] == [release.sha256[:16]]


def test_damaged_release_is_made_anew(tmp_path: Path) -> None:
    made, report, release = packaged(stages(tmp_path / "home"))
    (made.home / release.path / "model.onnx").unlink()
    assert not release.holds(made.home)

    package(
        report, made.validated, made.table, made.splits, made.trained, made.onnx, made.candidates, PROVENANCE,
        DATA_PROFILE, name="tests", home=made.home, out_root=(made.home / release.path).parent,
    )  # fmt: skip

    assert release.holds(made.home)


def test_one_flipped_byte_in_any_file_is_found_and_named(copy: Path) -> None:
    for file in sorted(path for path in copy.rglob("*") if path.is_file()):
        content = file.read_bytes()
        for position in {0, len(content) // 2, len(content) - 1}:
            file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
            with pytest.raises(RecordInvalid, match=re.escape(file.relative_to(copy).as_posix())):
                verify_release(copy)
        file.write_bytes(content)
    verify_release(copy)


def test_missing_and_foreign_files_are_named(copy: Path) -> None:
    (copy / "golden.json").unlink()
    (copy / "evidence" / "note.txt").write_text("hello")

    with pytest.raises(RecordInvalid, match=r"(?s)golden.json: is missing.*evidence/note.txt: does not belong"):
        verify_release(copy)


def forge(folder: Path, name: str, **changes: object) -> Path:
    """Change a file and write the manifest that fits; the folder gets a name that promises nothing."""
    forged = Path(shutil.move(folder, folder.with_name("forged")))
    if changes:
        (forged / name).write_text(json.dumps({**read_json(forged / name), **changes}))
    manifest = read_json(forged / "manifest.json")
    manifest["files"][name] = {"sha256": sha256_file(forged / name), "bytes": (forged / name).stat().st_size}
    (forged / "manifest.json").write_text(canonical_json(manifest) + "\n")
    return forged


def test_verdict_that_the_evidence_does_not_give_is_found_though_every_digest_fits(copy: Path) -> None:
    forged = forge(copy, "evidence/parity.json", max_absolute_difference=0.5)

    with pytest.raises(RecordInvalid, match="gate onnx_parity is failed"):
        verify_release(forged)


def test_forged_pass_is_found_though_every_digest_fits(copy: Path) -> None:
    gates = read_json(copy / "gates.json")["gates"]
    next(gate for gate in gates if gate["name"] == "onnx_parity")["value"] = 1e-9
    forged = forge(copy, "gates.json", gates=gates)

    with pytest.raises(RecordInvalid, match="gate onnx_parity"):
        verify_release(forged)


def test_another_whole_release_is_not_taken_for_the_wanted_one(copy: Path) -> None:
    with pytest.raises(RecordInvalid, match="digest"):
        verify_release(copy, "0" * 64)


def test_golden_set_holds_the_graphs_own_answers(copy: Path) -> None:
    golden = read_json(copy / "golden.json")

    numeric = np.array([[np.nan if value is None else value for value in row] for row in golden["numeric"]])
    answers = Scorer(copy / "model.onnx").score(numeric)
    assert len(golden["probability"]) >= 100
    assert np.isnan(numeric).any()
    assert answers.tolist() == golden["probability"]
    assert answers.max() > 0.9 and answers.min() < 0.1


def test_reference_statistics_are_those_of_the_training_rows(
    copy: Path, packed: tuple[Stages, GateReport, Release]
) -> None:
    made = packed[0]
    splits = read_json(made.home / "splits" / "splits.json")["train"]
    table = pq.read_table(made.home / "features" / "features.parquet").to_pandas()
    rows = table[(table.event_timestamp >= splits["start"]) & (table.event_timestamp < splits["end"])]

    reference = read_json(copy / "reference.json")["numeric"]

    age = reference["customer_spending_age_us"]
    assert age["rows"] == len(rows)
    assert age["null_share"] == pytest.approx(rows.customer_spending_age_us.isna().mean())
    assert reference["amount_minor"]["mean"] == pytest.approx(rows.amount_minor.mean())
    assert reference["amount_minor"]["std"] == pytest.approx(rows.amount_minor.std(ddof=0))
    assert reference["amount_minor"]["quantiles"][0] == rows.amount_minor.min()
    assert reference["amount_minor"]["quantiles"][-1] == rows.amount_minor.max()


def test_report_of_another_graph_is_not_packaged(tmp_path: Path) -> None:
    made, report, _ = packaged(stages(tmp_path / "home"))
    other = stages(tmp_path / "other", amount_weight=1.4e-3)
    shutil.copytree(other.home / "candidates", made.home / "candidates2")

    with pytest.raises(RecordInvalid, match="another graph"):
        candidates = other.candidates.__class__(**{**other.candidates.__dict__, "path": "candidates2"})
        package(
            report, made.validated, made.table, made.splits, made.trained, made.onnx, candidates, PROVENANCE,
            DATA_PROFILE, name="tests", home=made.home, out_root=made.home / "releases" / "tests",
        )  # fmt: skip
