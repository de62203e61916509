from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xgboost
from onnxruntime import InferenceSession
from torch import Tensor

from sentinel.config import Training
from sentinel.model.forest import Forest
from sentinel.training.boosting import grow_forest
from sentinel.training.data.rows import Rows

SETTINGS = Training(trees=40, tree_depth=4, tree_learning_rate=0.2)


def rows(count: int = 4000, seed: int = 0) -> Rows:
    """Columns with missing values, whole numbers, and codes."""
    random = np.random.default_rng(seed)
    derived = random.normal(size=(count, 6)).astype(np.float32)
    derived[:, 1] = np.round(derived[:, 1] * 3)
    derived[random.random(derived.shape) < 0.1] = np.nan
    codes = random.integers(0, 5, (count, 2))
    fraud = np.nan_to_num(derived[:, 0]) + codes[:, 0] / 3 + random.normal(size=count) > 2.2
    return Rows(torch.from_numpy(derived), torch.from_numpy(codes), torch.from_numpy(fraud.astype(np.float32)))


@pytest.fixture(scope="module")
def grown() -> tuple[Forest, xgboost.Booster]:
    kept: list[xgboost.Booster] = []
    with pytest.MonkeyPatch.context() as patched:
        original = xgboost.train
        patched.setattr(xgboost, "train", lambda *a, **k: kept.append(original(*a, **k)) or kept[0])
        forest = grow_forest(rows(), np.ones(4000, np.float32), SETTINGS, seed=1)
    return forest, kept[0]


def margins(booster: xgboost.Booster, asked: Rows, base: float) -> np.ndarray:
    assert asked.categorical is not None
    table = torch.cat([asked.derived, asked.categorical.float()], dim=1).numpy()
    data = xgboost.DMatrix(table, base_margin=np.full(len(table), base, np.float32))
    return booster.predict(data, output_margin=True)


def test_a_forest_answers_what_its_trees_answer_where_they_were_grown(grown: tuple[Forest, xgboost.Booster]) -> None:
    forest, booster = grown
    known = rows()
    found = forest(known.derived, known.categorical).numpy()
    np.testing.assert_allclose(found, margins(booster, known, float(forest.base)), atol=1e-5)


def test_missing_values_and_unseen_ones_get_finite_answers(grown: tuple[Forest, xgboost.Booster]) -> None:
    derived = torch.full((3, 6), torch.nan)
    derived[1], derived[2] = torch.inf, -torch.inf
    assert grown[0](derived, torch.tensor([[0, 0], [4, 4], [99, 99]])).isfinite().all()


def test_the_last_bit_of_a_value_moves_no_row_to_another_leaf(grown: tuple[Forest, xgboost.Booster]) -> None:
    forest, known = grown[0], rows()
    nudged = torch.nextafter(known.derived, torch.full_like(known.derived, torch.inf))
    changed = forest(nudged, known.categorical) != forest(known.derived, known.categorical)
    assert changed.float().mean() < 0.001


def test_the_same_rows_and_seed_grow_the_same_forest() -> None:
    first, second = (grow_forest(rows(), np.ones(4000, np.float32), SETTINGS, seed=3) for _ in range(2))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_onnx_runtime_answers_as_torch_does(grown: tuple[Forest, xgboost.Booster], tmp_path: Path) -> None:
    class Alone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.forest = grown[0]
            self.eval()

        def forward(self, derived: Tensor, codes: Tensor) -> Tensor:
            return self.forest(derived, codes)

    asked = rows(500, seed=5)
    assert asked.categorical is not None
    file = tmp_path / "forest.onnx"
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        Alone(), (asked.derived, asked.categorical), str(file), dynamo=True, verbose=False, external_data=False,
        dynamic_shapes={"derived": {0: batch}, "codes": {0: batch}},
    )  # fmt: skip
    session = InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    found = session.run(None, dict(zip(names, (asked.derived.numpy(), asked.categorical.numpy()), strict=True)))[0]
    np.testing.assert_allclose(found, grown[0](asked.derived, asked.categorical).numpy(), atol=1e-5)
