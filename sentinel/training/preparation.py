"""What the training rows alone decide before the first step: vocabularies, fraud rate, bins, baseline and forest."""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.config import Training
from sentinel.model.derived import DerivedFeatures
from sentinel.model.encoding import Encoding
from sentinel.model.inputs import ModelInputs
from sentinel.model.network import FraudNet, NetworkSize
from sentinel.training.boosting import grow_forest
from sentinel.training.data.reading import open_rows
from sentinel.training.data.rows import Rows, TrainingRows
from sentinel.training.data.sample import draw_sample
from sentinel.training.data.source import Source
from sentinel.training.device.memory import MemoryWatch
from sentinel.training.device.need import Need
from sentinel.training.judging.logistic import LogisticBaseline

BIN_FRAUDS, BIN_GENUINE = 20_000, 70_000  # rows, at most, that the trees look at to choose the edges
FOREST_FRAUDS, FOREST_GENUINE = 20_000, 150_000  # rows, at most, that the forest is grown on


@dataclass(frozen=True)
class Prepared:
    """What the training rows alone decide, before the first step: vocabularies, fraud rate, bins, the baseline."""

    inputs: ModelInputs
    derive: DerivedFeatures
    rows: TrainingRows
    net: FraudNet  # untrained, without its forest
    baseline: LogisticBaseline


def prepare(source: Source, settings: Training, memory: MemoryWatch, folder: Path, processes: int = 0) -> Prepared:
    """Everything that is fitted on the training part, but for the forest and the steps, which see nothing else.

    The leak audit calls it too. Rows that do not fit the memory lie in a file of `folder`. Raises TrainingFailed when
    memory has no room for the network, which `processes` of this host will train.
    """
    inputs = source.inputs()
    labels = source.labels("train")
    derive = DerivedFeatures(inputs, source.feature_set, float(labels.mean()))
    rows = open_rows(source, "train", inputs, derive, memory, folder)
    encoding = fit_encoding(rows, inputs, settings)
    Need(settings, encoding.width).require(memory, processes)
    net = FraudNet(inputs, source.feature_set, encoding, network_size(settings), float(derive.fraud_rate))
    baseline = LogisticBaseline(rows, inputs, settings.genuine_per_fraud, settings.seed)
    return Prepared(inputs, derive, rows, net, baseline)


def make_network(
    rows: Rows | TrainingRows,
    derive: DerivedFeatures,
    inputs: ModelInputs,
    feature_set: Mapping[str, Any],
    settings: Training,
) -> FraudNet:
    """An untrained network whose bins and indicators fit the training rows."""
    encoding = fit_encoding(rows, inputs, settings)
    return FraudNet(inputs, feature_set, encoding, network_size(settings), float(derive.fraud_rate))


def fit_encoding(rows: Rows | TrainingRows, inputs: ModelInputs, settings: Training) -> Encoding:
    """Its bins and indicators fit the training rows, or a sample of them."""
    sample = draw_sample(rows.labels, BIN_FRAUDS, BIN_GENUINE, settings.seed)
    drawn = rows.take(sample.positions)
    return Encoding.fit(drawn.derived, drawn.labels > 0, sample.weights(drawn.labels), inputs, settings.bins)


def network_size(settings: Training) -> NetworkSize:
    return NetworkSize(settings.width, settings.layers, settings.dropout)


def add_forest(net: FraudNet, rows: Rows | TrainingRows, settings: Training, seed: int) -> None:
    """Grow it on the training rows, or a sample of them."""
    if settings.trees:
        sample = draw_sample(rows.labels, FOREST_FRAUDS, FOREST_GENUINE, seed)
        drawn = rows.take(sample.positions)
        net.forest = grow_forest(drawn, sample.weights(drawn.labels).numpy(), settings, seed)
