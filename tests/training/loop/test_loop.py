from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.model.network import FraudNet
from sentinel.training.data.rows import ResidentRows, Rows, logits, make_rows
from sentinel.training.device.hardware import Hardware, choose_hardware, deterministic
from sentinel.training.loop.draw import Draw
from sentinel.training.loop.loop import train
from sentinel.training.loop.position import Epoch
from sentinel.training.loop.run import Judge
from sentinel.training.preparation import make_network
from tests.model.raw import feature_set, features_table
from tests.training.conftest import SETTINGS

CPU = Hardware(torch.device("cpu"), "fp32")
FEATURES = feature_set(categorical=())
INPUTS = ModelInputs.from_feature_set(FEATURES)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows(features_table(2000), INPUTS, DerivedFeatures(INPUTS, FEATURES))


def new_net(rows: Rows, settings: Training = SETTINGS) -> FraudNet:
    return make_network(rows, DerivedFeatures(INPUTS, FEATURES), INPUTS, FEATURES, settings)


def resident(rows: Rows) -> ResidentRows:
    return ResidentRows(rows, CPU.device)


def fitted(rows: Rows, settings: Training = SETTINGS, judge: Judge | None = None, hardware: Hardware = CPU) -> FraudNet:
    with deterministic(1):
        net = new_net(rows, settings)
        train(net, resident(rows), settings, hardware, judge, seed=1)
    return net


def weights(net: FraudNet) -> torch.Tensor:
    return torch.cat([value.flatten() for value in net.parameters()]).detach()


def test_an_epoch_has_every_fraud_and_freshly_drawn_genuine_rows() -> None:
    labels = torch.tensor([1.0] * 3 + [0.0] * 97)
    draw = Draw(labels, genuine_per_fraud=5, seed=0)
    first, second = draw.epoch(1), draw.epoch(2)
    for epoch in (first, second):
        assert len(epoch) == len(draw) == 18 == len(epoch.unique())
        assert int(labels[epoch].sum()) == 3
    assert set(first.tolist()) != set(second.tolist())
    assert draw.correction == pytest.approx(math.log(97 / 15))


def test_a_small_table_gets_smaller_batches(rows: Rows) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1, "batch_size": 4096})
    with deterministic(1):
        history = train(new_net(rows), resident(rows), settings, CPU, None, seed=1)
    assert history.batch_size == len(Draw(rows.labels, settings.genuine_per_fraud, 1)) // 40


def test_more_genuine_rows_than_there_are_means_all_of_them() -> None:
    draw = Draw(torch.tensor([1.0, 0.0, 0.0]), genuine_per_fraud=50, seed=0)
    assert sorted(draw.epoch(1).tolist()) == [0, 1, 2] and draw.correction == 0


def test_learning_beats_chance_and_drawing_leaves_the_level_of_scores(rows: Rows) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 20, "batch_size": 32, "genuine_per_fraud": 3})
    scores = logits(fitted(rows, settings), rows)
    fraud = rows.is_fraud()
    assert scores[fraud].mean() > scores[~fraud].mean() + 2
    assert (1 / (1 + np.exp(-scores))).mean() == pytest.approx(fraud.mean(), rel=0.35)


def test_the_same_seed_gives_the_same_weights_to_the_bit(rows: Rows) -> None:
    assert torch.equal(weights(fitted(rows)), weights(fitted(rows)))


def test_another_seed_gives_other_weights(rows: Rows) -> None:
    with deterministic(2):
        other = new_net(rows)
        train(other, resident(rows), SETTINGS, CPU, None, seed=2)
    assert not torch.equal(weights(fitted(rows)), weights(other))


def test_best_epoch_is_restored_and_patience_ends_the_run(rows: Rows) -> None:
    scores, kept = iter([0.2, 0.9, 0.3, 0.1, 0.8]), []

    def judge(net: FraudNet) -> float:
        kept.append(weights(net).clone())
        return next(scores)

    seen: list[Epoch] = []
    settings = SETTINGS.model_copy(update={"epochs": 5, "patience": 2})
    with deterministic(1):
        net = new_net(rows)
        history = train(net, resident(rows), settings, CPU, judge, seed=1, finished=seen.append)
    assert history.best == 2
    assert [epoch.validation_pr_auc for epoch in seen] == [0.2, 0.9, 0.3, 0.1]
    assert torch.equal(weights(net), kept[1])
    assert not net.training


def test_without_a_judge_the_last_epoch_is_kept(rows: Rows) -> None:
    with deterministic(1):
        history = train(new_net(rows), resident(rows), SETTINGS, CPU, None, seed=1)
    assert history.best == len(history.epochs) == SETTINGS.epochs


def test_a_loss_that_is_no_number_ends_in_a_sentence(rows: Rows) -> None:
    net = new_net(rows)
    net.encoding.slope.fill_(float("nan"))
    with pytest.raises(TrainingFailed, match=r"no finite number in \d+ steps, at last in epoch 1.*learning_rate"):
        train(net, resident(rows), SETTINGS, CPU, None, seed=1)


def test_bf16_learns_like_fp32(rows: Rows) -> None:
    full, half = (
        logits(fitted(rows, hardware=Hardware(torch.device("cpu"), precision)), rows) for precision in ("fp32", "bf16")
    )
    assert np.corrcoef(full, half)[0, 1] > 0.99


def test_random_state_of_the_caller_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with deterministic(9):
        torch.rand(10)
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_the_machine_lacks_is_refused() -> None:
    with pytest.raises(TrainingFailed, match="fp16"):
        choose_hardware(SETTINGS.model_copy(update={"precision": "fp16"}))
    if not torch.cuda.is_available():
        with pytest.raises(TrainingFailed, match="no GPU"):
            choose_hardware(SETTINGS.model_copy(update={"device": "cuda"}))


def test_a_chosen_precision_is_one_the_loop_knows() -> None:
    chosen = choose_hardware(SETTINGS.model_copy(update={"precision": "auto"}))
    assert chosen.precision in ("fp32", "bf16")
