from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import GateReport, Release
from sentinel.errors import DiskFull, RecordInvalid
from sentinel.promotion.keys import public_keys
from sentinel.promotion.release import package, verify_release
from sentinel.scoring import Scorer
from sentinel.storage import sha256_file
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
    assert verify_release(folder, release.sha256, public_keys(made.home / "keys"))["passed"] is release.passed is True
    assert not any(file.stat().st_mode & 0o222 for file in folder.rglob("*") if file.is_file())


def test_same_content_gives_the_same_release(packed: tuple[Stages, GateReport, Release], tmp_path: Path) -> None:
    made, report, release = packed

    again = package(
        report, made.validated, made.table, made.splits, made.trained, made.onnx, made.candidates,
        made.libraries, PROVENANCE, DATA_PROFILE, name="tests", keys=made.home / "keys", home=made.home,
        out_root=tmp_path,
    )  # fmt: skip

    assert again.sha256 == release.sha256
    assert [path.name for path in tmp_path.iterdir()] == [release.sha256[:16]]


def test_damaged_release_is_made_anew(tmp_path: Path) -> None:
    made, report, release = packaged(stages(tmp_path / "home"))
    (made.home / release.path / "model.onnx").unlink()
    (made.home / "releases" / "tests" / ".building.1.partial").mkdir()  # a killed process left it
    assert not release.holds(made.home)

    package(
        report, made.validated, made.table, made.splits, made.trained, made.onnx, made.candidates,
        made.libraries, PROVENANCE, DATA_PROFILE, name="tests", keys=made.home / "keys", home=made.home,
        out_root=(made.home / release.path).parent,
    )  # fmt: skip

    assert release.holds(made.home)
    assert [path.name for path in (made.home / "releases" / "tests").iterdir()] == [release.sha256[:16]]


def test_release_that_holds_is_kept_with_its_signature_and_one_without_is_signed_again(
    packed: tuple[Stages, GateReport, Release],
) -> None:
    made, report, release = packed
    signature = made.home / release.path / "model.sig"
    first = signature.read_bytes()

    def again() -> None:
        package(
            report, made.validated, made.table, made.splits, made.trained, made.onnx, made.candidates, made.libraries,
            PROVENANCE, DATA_PROFILE, name="tests", keys=made.home / "keys", home=made.home,
            out_root=(made.home / release.path).parent,
        )  # fmt: skip

    again()
    assert signature.read_bytes() == first

    signature.unlink()
    assert not release.holds(made.home)
    again()
    assert release.holds(made.home)
    assert signature.read_bytes() != first


def test_full_disk_while_packaging_leaves_nothing(
    packed: tuple[Stages, GateReport, Release], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, report, _ = packed

    def full(folder: Path, private: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sentinel.promotion.release.sign_release", full)
    with pytest.raises(DiskFull):
        package(
            report, made.validated, made.table, made.splits, made.trained, made.onnx, made.candidates, made.libraries,
            PROVENANCE, DATA_PROFILE, name="tests", keys=made.home / "keys", home=made.home,
            out_root=tmp_path / "out",
        )  # fmt: skip
    assert list((tmp_path / "out").iterdir()) == []


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
            report, made.validated, made.table, made.splits, made.trained, made.onnx, candidates,
            made.libraries, PROVENANCE, DATA_PROFILE, name="tests", keys=made.home / "keys", home=made.home,
            out_root=made.home / "releases" / "tests",
        )  # fmt: skip
