from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from sentinel.errors import DataDamaged
from sentinel.model.derived import DerivedFeatures
from sentinel.model.encoding import Encoding
from sentinel.model.inputs import ModelInputs, Vocabulary
from sentinel.model.network import FraudNet, NetworkSize
from tests.model.raw import feature_set, features_table

CHANNEL = Vocabulary("channel", ("chip", "online"))


def make_net(*, categorical: bool = True) -> FraudNet:
    torch.manual_seed(0)
    features = feature_set(categorical=("channel",) if categorical else ())
    inputs = ModelInputs.from_feature_set(features, [CHANNEL] if categorical else [])
    table = features_table(1500)
    derived = DerivedFeatures(inputs, features)(torch.from_numpy(inputs.encode(table)[0]))
    labels = torch.from_numpy(table["is_fraud"].to_numpy())
    encoding = Encoding.fit(derived, labels, torch.ones(len(labels)), inputs, bins=8)
    return FraudNet(inputs, features, encoding, NetworkSize(16, 2, 0.1), fraud_rate=0.05).eval()


def answer(net: FraudNet, numeric: np.ndarray, codes: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return net(torch.from_numpy(numeric), torch.from_numpy(codes) if net.inputs.categorical else None)


@pytest.mark.parametrize("categorical", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300, 1e18, 0.0, -1.0])
def test_whatever_comes_in_a_probability_comes_out(categorical: bool, value: float) -> None:
    net = make_net(categorical=categorical)
    numeric = np.full((3, len(net.inputs.numeric)), value)
    probability = answer(net, numeric, np.array([[0], [1], [10**6]]))
    assert probability.shape == (3,) and probability.dtype == torch.float32
    assert ((probability >= 0) & (probability <= 1)).all()


def test_one_damaged_input_changes_no_other_row() -> None:
    net = make_net()
    numeric, codes = net.inputs.encode(features_table(20))
    before = answer(net, numeric, codes)
    numeric[3] = np.nan
    after = answer(net, numeric, codes)
    others = [row for row in range(20) if row != 3]
    torch.testing.assert_close(after[others], before[others])


@pytest.mark.parametrize("categorical", [True, False])
def test_saved_and_loaded_nets_answer_alike(categorical: bool, tmp_path: Path) -> None:
    net = make_net(categorical=categorical)
    net.scale.fill_(0.7)
    net.shift.fill_(-0.3)
    net.save(tmp_path)
    loaded = FraudNet.load(tmp_path)
    numeric, codes = net.inputs.encode(features_table(100))
    assert torch.equal(answer(net, numeric, codes), answer(loaded, numeric, codes))
    assert loaded.inputs == net.inputs and not loaded.training


def test_stored_model_is_safetensors_and_json_alone(tmp_path: Path) -> None:
    make_net().save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inputs.json", "model.json", "weights.safetensors"]
    with safe_open(tmp_path / "weights.safetensors", "pt") as weights:
        assert "layers.0.weight" in weights.keys()  # noqa: SIM118


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    net = make_net()
    net.save(tmp_path)
    model = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(model.replace('"width": 16', '"width": 32'))
    with pytest.raises(DataDamaged, match="cannot be loaded"):
        FraudNet.load(tmp_path)


def test_calibration_is_part_of_the_answer() -> None:
    net = make_net()
    numeric, codes = net.inputs.encode(features_table(10))
    with torch.inference_mode():
        raw = net.logits(torch.from_numpy(numeric), torch.from_numpy(codes))
    net.scale.fill_(2.0)
    net.shift.fill_(1.0)
    torch.testing.assert_close(answer(net, numeric, codes), torch.sigmoid(2 * raw + 1))
