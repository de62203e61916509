"""The leak audit: what was not knowable is changed, and no value asked for before it may move; then the oracle.

One real build and one real retrieval answer for the honest views and the planted leaks, in all worlds, and for the
oracle's probes: the functions that answer for production.
"""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from sentinel.config import Features
from sentinel.features.audit.compare import columns_and_windows, find_leaks, find_planted, window_text
from sentinel.features.audit.cuts import Cut, Transactions, choose_cuts
from sentinel.features.audit.experiment import Experiment, make_experiment
from sentinel.features.audit.oracle import ASKED_AT as AS_OF
from sentinel.features.audit.oracle import expected_features
from sentinel.features.audit.oracle_check import Mismatch, check_against_oracle, check_probes
from sentinel.features.audit.planted import planted_views
from sentinel.features.audit.report import CutSummary, LeakReport, OracleMismatch, OracleReport, moment_text
from sentinel.features.first_versions import ASKED_AT
from sentinel.features.retrieval import TABLE, answer
from sentinel.features.spec import FeatureSet
from sentinel.paths import Paths
from sentinel.progress import Progress, silent

OWN = 200  # questions about the original worlds that the oracle answers too
_STEPS = 4


def audit_features(
    transactions: Path,
    wanted: FeatureSet,
    boundaries: Sequence[datetime],
    features: Features,
    *,
    seed: int,
    name: str,
    paths: Paths,
    table: Path | None = None,
    progress: Progress = silent,
) -> LeakReport:
    """Audit what `wanted` gives on `transactions`. `features` says which engine computes.

    `boundaries`: the ends of the parts; `table`: the folder of the table that was built of it. The report says what
    failed; nothing is raised but AuditBlind where the data cannot show a leak.
    """
    random, clock = np.random.default_rng(seed), _Clock()
    planted = planted_views(wanted)
    everything = replace(wanted, views=(*wanted.views, *planted.values()))
    paths.home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=paths.home, prefix="audit-") as scratch:
        folder = Path(scratch)
        progress(0, _STEPS, "sampling around the cuts")
        with clock("sampling"):
            with closing(Transactions(transactions, everything)) as source:
                cuts = choose_cuts(source, boundaries, random)
            experiment = make_experiment(cuts, everything, wanted, folder / "questions", random)
        progress(1, _STEPS, "building and joining every world")
        with clock("build and retrieval"):
            found = _answers(experiment, everything, folder, features, name, paths)
        with clock("comparison"):
            leaks = find_leaks(found, experiment, cuts, wanted)
            caught = find_planted(found, experiment, planted)
        progress(2, _STEPS, "asking the oracle")
        with clock("oracle"):
            oracle = _ask_oracle(transactions, table, found, experiment, wanted, seed)
    progress(_STEPS, _STEPS, "audited")
    return LeakReport(
        feature_set_hash=wanted.hash,
        seed=seed,
        rows_checked=experiment.pairs,
        values_checked=experiment.pairs * len(wanted.columns),
        leaks=leaks,
        planted=caught,
        oracle=oracle,
        cuts=tuple(_summary(cut) for cut in cuts),
        seconds=clock.seconds,
    )


def _answers(
    experiment: Experiment, wanted: FeatureSet, folder: Path, features: Features, name: str, paths: Paths
) -> pa.Table:
    source, asked, out = folder / "transactions.parquet", folder / "asked.parquet", folder / "answers"
    out.mkdir()
    parquet.write_table(experiment.source, source)
    parquet.write_table(experiment.asked, asked)
    answer(source, wanted, out, features, name=name, paths=paths, asked=asked)
    return parquet.read_table(out / TABLE)


def _ask_oracle(
    transactions: Path,
    table: Path | None,
    found: pa.Table,
    experiment: Experiment,
    wanted: FeatureSet,
    seed: int,
) -> OracleReport:
    """The sampled transactions and the probes of the audit's own build, and where there is one the built table."""
    mismatches, own = _own_mismatches(found, experiment, wanted)
    of_probes = check_probes(experiment.probes, wanted, found.slice(2 * experiment.pairs))
    mismatches += [_mismatch("probe", each) for each in of_probes]
    strata = {"sub-source": own, "probe": len(experiment.probes.cases)}
    rows, fault = sum(strata.values()), None
    values = rows * len(wanted.columns)
    if table is not None:
        verdict = check_against_oracle(transactions, table, wanted, seed=seed)
        mismatches = [*(_mismatch("production", each) for each in verdict.mismatches), *mismatches]
        rows, values, fault = rows + verdict.rows_checked, values + verdict.values_checked, verdict.fault
        strata |= verdict.strata
    return OracleReport(rows, values, strata, fault, tuple(mismatches))


def _own_mismatches(found: pa.Table, experiment: Experiment, wanted: FeatureSet) -> tuple[list[OracleMismatch], int]:
    """Of some questions about the original worlds; and how many."""
    places = np.unique(np.linspace(0, experiment.pairs - 1, OWN).astype(np.int64))
    asked = experiment.asked.take(pa.array(places)).rename_columns({ASKED_AT: AS_OF})
    expected = expected_features(experiment.source, wanted, asked)
    mismatches: list[OracleMismatch] = []
    for column, (feature, window) in enumerate(columns_and_windows(wanted)):
        values = found[feature].take(pa.array(places)).to_pylist()
        for row, (value, counted) in enumerate(zip(values, expected, strict=True)):
            if value != counted[column]:
                id = experiment.transaction_ids[int(places[row])]
                mismatches.append(OracleMismatch("sub-source", feature, window, id, value, counted[column]))
    return mismatches, len(places)


def _mismatch(place: str, each: Mismatch) -> OracleMismatch:
    window = None if each.window is None else window_text(each.window, timedelta(0))
    return OracleMismatch(place, each.feature, window, each.transaction_id, each.found, each.expected)


def _summary(cut: Cut) -> CutSummary:
    return CutSummary(moment_text(cut.moment), cut.kind, cut.rows.num_rows, len(cut.asked), cut.limited)


class _Clock:
    """How long each step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Generator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - begun, 3)
