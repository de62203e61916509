"""What one stage hands to the next: one frozen type an arrow of the design.

An artifact says where (relative to the home folder), with which digest, and a few facts. It holds no data.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from sentinel.errors import DataDamaged
from sentinel.storage import listing, sha256_file, sha256_path

_CONFIG = ConfigDict(extra="forbid")
MANIFEST = "manifest.json"  # of a release: the sha256 and bytes of every other file but the signature
SIGNATURE = "model.sig"  # of a release: beside its manifest, not in it, as no two signatures are equal


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Artifact:
    """`path` is a file or a folder relative to the home; `sha256` is that of `storage.sha256_path`."""

    stage: ClassVar[str]
    path: str
    sha256: str

    def locate(self, home: Path) -> Path:
        """The absolute path. Raises DataDamaged when nothing is there."""
        path = home / self.path
        if not path.exists():
            raise DataDamaged(f"{path}, the output of stage {self.stage}, is missing. Run again: it is made anew.")
        return path

    def holds(self, home: Path) -> bool:
        """Whether the stored bytes are still those that were written."""
        path = home / self.path
        return path.exists() and sha256_path(path) == self.sha256


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class RawData(Artifact):
    """`path`: the folder with transactions.parquet and quarantine.parquet of the pinned version."""

    stage: ClassVar[str] = "pull"
    version: str  # DVC's md5 of the folder
    rows: int
    frauds: int
    transactions_sha256: str


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ValidatedData(Artifact):
    """`path`: folder with verdict.json (GX results) and index.html (link to Data Docs)."""

    stage: ClassVar[str] = "validate"
    transactions: str  # transactions.parquet, relative to the home
    transactions_sha256: str
    expectations: int
    rows: int
    warnings: tuple[str, ...] = ()  # what is odd but does not stop a run, in sentences


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class DriftReport(Artifact):
    """`path`: folder with drift.json and drift.html: the data beside what the champion was trained on."""

    stage: ClassVar[str] = "compare"
    reference: str | None  # the version compared with; None: there was nothing to compare with
    note: str  # what was compared, or why nothing was, in a sentence
    warnings: tuple[str, ...] = ()  # the shifts, in sentences


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class FeatureTable(Artifact):
    """`path`: folder with features.parquet (a row a transaction) and feature_set.json."""

    stage: ClassVar[str] = "features"
    rows: int
    feature_set_hash: str


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Splits(Artifact):
    """`path`: folder with splits.json: start, end (UTC), rows and frauds of each part."""

    stage: ClassVar[str] = "split"
    table: str  # features.parquet, relative to the home
    rows: dict[str, int]
    frauds: dict[str, int]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class FeatureAudit(Artifact):
    """`path`: folder with audit.json: cuts, leaks, planted leaks, the oracle's verdict, what training fits."""

    stage: ClassVar[str] = "audit"
    rows_checked: int
    leaks: int
    planted: int
    caught: int  # of the planted leaks
    oracle_rows: int
    oracle_mismatches: int


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class OnlineFeatures(Artifact):
    """`path`: folder with online.json: what of the feature set stands in the online store, and its proof."""

    stage: ClassVar[str] = "materialize"
    feature_set_hash: str
    store: str  # sqlite or redis
    rows: int


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class TrainedModel(Artifact):
    """`path`: folder with weights.safetensors, model.json, training.json and scores.parquet."""

    stage: ClassVar[str] = "train"
    run_id: str  # MLflow's
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class OnnxModel(Artifact):
    """`path`: folder with fp32.onnx, inputs.json and parity.json."""

    stage: ClassVar[str] = "export"
    run_id: str
    parity: float  # largest absolute difference to torch


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Variants(Artifact):
    """`path`: folder with a graph a variant, measurements.json and what it was computed from."""

    stage: ClassVar[str] = "quantize"
    run_id: str


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Candidates(Variants):
    """The same folder, with the variant that would serve."""

    chosen: str  # a variant's name
    reason: str
    model_sha256: str  # of the graph that would serve
    picture: str | None = None  # the choice drawn, relative to the home


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class GateReport(Artifact):
    """`path`: folder with gates.json and the evidence each gate was computed from."""

    stage: ClassVar[str] = "gate"
    run_id: str
    passed: bool
    failed: tuple[str, ...]
    undecided: tuple[str, ...] = ()  # gates whose data do not suffice to tell: a reviewer decides


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Libraries(Artifact):
    """`path`: folder with bom.json (CycloneDX) and libraries.json: licences and known vulnerabilities of the lock."""

    stage: ClassVar[str] = "libraries"
    checked: bool  # whether a database of vulnerabilities was reached


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class OfRelease(Artifact):
    """`path`: the immutable folder of a release; `sha256` is its name and that of its manifest."""

    def holds(self, home: Path) -> bool:
        folder = home / self.path
        if not (folder / MANIFEST).is_file() or sha256_file(folder / MANIFEST) != self.sha256:
            return False
        files = json.loads((folder / MANIFEST).read_text())["files"]
        found = listing(folder)
        is_signed = found.pop(SIGNATURE, None) is not None
        return is_signed and found == {name: kept["sha256"] for name, kept in files.items()} | {MANIFEST: self.sha256}


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Release(OfRelease):
    stage: ClassVar[str] = "package"
    run_id: str
    passed: bool
    model_sha256: str


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PublishedRelease(OfRelease):
    """`path` and `sha256`: those of the release that lies at `url`, too."""

    stage: ClassVar[str] = "publish"
    url: str


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class RegisteredVersion(OfRelease):
    """`path` and `sha256`: those of the release that was registered."""

    stage: ClassVar[str] = "register"
    run_id: str
    name: str
    version: str


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Decision(OfRelease):
    """`path` and `sha256`: those of the release decided upon."""

    stage: ClassVar[str] = "promote"
    name: str
    version: str
    outcome: str  # promoted, rejected or waiting
    reason: str
    decided_by: str
    decided_at: str  # UTC, ISO 8601
