from __future__ import annotations

import numpy as np
import torch

from sentinel.model.encoding import Encoding, EncodingSize, distinct_patterns, feature_edges
from sentinel.model.inputs import ModelInputs, Vocabulary

NOTHING = ModelInputs(())


def encoding_of(edges: list[float], missing: int = 0) -> Encoding:
    encoding = Encoding(EncodingSize(len(edges) - 1, missing), NOTHING)
    values = torch.tensor(edges)
    encoding.left.copy_(values[:-1])
    encoding.slope.copy_(1 / (values[1:] - values[:-1]))
    return encoding


def test_bins_left_of_the_value_are_full_and_those_right_of_it_empty() -> None:
    encoded = encoding_of([0.0, 1.0, 3.0, 4.0])(torch.tensor([[2.0], [-5.0], [99.0]]))
    assert encoded.tolist() == [[1.0, 0.5, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]


def test_missing_is_told_apart_from_the_lowest_value() -> None:
    encoded = encoding_of([0.0, 1.0], missing=1)(torch.tensor([[0.0], [float("nan")]]))
    assert encoded.tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_a_tree_finds_the_edge_where_the_fraud_rate_changes() -> None:
    values = torch.linspace(0, 10, 2000)
    edges = feature_edges(values, values > 7.3, torch.ones(2000), bins=8)
    assert edges[0] == 0 and edges[-1] == 10
    assert any(abs(edge - 7.3) < 0.01 for edge in edges.tolist())


def test_edges_keep_a_distance_that_float32_can_tell() -> None:
    random = np.random.default_rng(0)
    values = torch.from_numpy(1e6 + random.integers(0, 50, 5000) / 1000)
    edges = feature_edges(values, torch.from_numpy(random.random(5000) < 0.5), torch.ones(5000), bins=48)
    assert (edges.diff() >= 1e-4 * 1e6).all()


def test_a_feature_of_one_value_or_none_has_no_bins() -> None:
    labels, weights = torch.tensor([True, False, True]), torch.ones(3)
    assert len(feature_edges(torch.full((3,), 2.0), labels, weights, bins=4)) == 0
    assert len(feature_edges(torch.full((3,), torch.nan), labels, weights, bins=4)) == 0


def test_each_pattern_of_missing_values_has_one_indicator() -> None:
    missing = torch.tensor([[True, False, True, False], [False, False, False, True]])
    assert distinct_patterns(missing) == [0, 3]


def test_width_counts_bins_indicators_and_codes() -> None:
    inputs = ModelInputs((), (Vocabulary("channel", ("chip", "online")),))
    random = np.random.default_rng(0)
    derived = torch.from_numpy(random.normal(size=(3000, 2))).float()
    derived[:50, 1] = torch.nan
    encoding = Encoding.fit(derived, derived[:, 0] > 1, torch.ones(3000), inputs, bins=4)
    encoded = encoding(derived, torch.from_numpy(random.integers(0, 4, (3000, 1))))
    assert encoded.shape == (3000, encoding.width)
    assert encoding.width == encoding.size.bins + 1 + 4
    assert encoded.min() >= 0 and encoded.max() <= 1
    assert (encoded[:, -4:].sum(dim=1) == 1).all()
