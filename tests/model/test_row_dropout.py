from __future__ import annotations

import pytest
import torch
from torch import nn

from sentinel.model.row_dropout import RowDropout, RowKeys

CPU = torch.device("cpu")
P, ROWS, UNITS = 0.3, 256, 96


def masks(seed: int = 7, steps: int = 20, rows: int = ROWS, *shape: int) -> torch.Tensor:
    """1 where a unit was kept [steps, layers, rows, units...]."""
    net = nn.Sequential(RowDropout(P), RowDropout(P)).train()
    keys = RowKeys(net, seed, rows, CPU)
    ones = torch.ones(rows, *(shape or (UNITS,)))
    found: list[torch.Tensor] = []
    for step in range(steps):
        keys.use(step, 0, rows)
        found.append(torch.stack([(layer(ones) != 0).float() for layer in net]))
    return torch.stack(found)


def test_kept_values_are_scaled_so_that_their_mean_stays() -> None:
    layer = RowDropout(P).train()
    RowKeys(layer, 1, 4096, CPU).use(0, 0, 4096)
    dropped = layer(torch.full((4096, 64), 2.0))
    assert set(dropped.unique().tolist()) == {0.0, float(torch.tensor(2.0) * torch.tensor(1 / (1 - P)))}
    assert float(dropped.mean()) == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("by", [0, 1, 2, 3], ids=["steps", "layers", "rows", "units"])
def test_masks_are_independent_between(by: int) -> None:
    kept = masks().movedim(by, 0).flatten(1)
    centred = (kept - (1 - P)) / (P * (1 - P)) ** 0.5
    correlation = centred @ centred.T / centred.shape[1] * centred.shape[1] ** 0.5  # standard normal where independent
    pairs = correlation[torch.triu(torch.ones_like(correlation), diagonal=1) > 0]
    assert pairs.abs().max() < 5.5
    if len(pairs) > 100:
        assert float(pairs.square().mean()) == pytest.approx(1, abs=0.1)


def test_mask_of_a_row_does_not_depend_on_how_the_batch_is_cut() -> None:
    layer = RowDropout(P).train()
    keys, values = RowKeys(layer, 3, ROWS, CPU), torch.randn(ROWS, UNITS)
    keys.use(5, 0, ROWS)
    whole = layer(values)
    parts: list[torch.Tensor] = []
    for begin, end in ((0, 1), (1, 100), (100, ROWS)):
        keys.use(5, begin, end)
        parts.append(layer(values[begin:end]))
    assert torch.equal(torch.cat(parts), whole)


def test_a_larger_batch_begins_with_the_same_masks() -> None:
    assert torch.equal(masks(rows=300)[:, :, :ROWS], masks())


def test_dimensions_beyond_the_rows_are_units_alike() -> None:
    assert torch.equal(masks(7, 2, 8, 4, 6).flatten(3), masks(7, 2, 8, 24))


def test_another_seed_gives_other_masks() -> None:
    assert not torch.equal(masks(seed=8), masks())


def test_outside_training_or_without_a_share_nothing_happens() -> None:
    values = torch.randn(3, 4)
    assert RowDropout(P).eval()(values) is values
    assert RowDropout(0.0).train()(values) is values


def test_training_without_keys_is_refused() -> None:
    layer = RowDropout(P).train()
    keys = RowKeys(layer, 3, 4, CPU)
    keys.use(0, 0, 4)
    keys.forget()
    with pytest.raises(RuntimeError, match="keys"):
        layer(torch.ones(4, 2))
