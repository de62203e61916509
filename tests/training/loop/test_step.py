from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sentinel.errors import TrainingFailed
from sentinel.model.network import FraudNet
from sentinel.training.data.rows import Rows
from sentinel.training.device.hardware import Hardware, deterministic
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.draw import Draw
from sentinel.training.loop.loop import train
from sentinel.training.loop.micro_batches import MicroBatches
from sentinel.training.loop.not_finite import BAD_BATCHES, NotFinite
from sentinel.training.loop.peers import Peers
from sentinel.training.loop.position import History
from sentinel.training.loop.step import Batch, Plan, Score, Stepper
from tests.training.conftest import SETTINGS
from tests.training.loop.test_loop import CPU, new_net, resident, rows, weights

__all__ = ["rows"]

HUNDRED_STEPS = SETTINGS.model_copy(update={"epochs": 3, "batch_size": 64, "dropout": 0.3})  # 120 of them
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    MemoryError(),
]


class Narrow:
    """Scores as `net` does, but has no room for more than `room` rows from its call number `after` on."""

    def __init__(self, net: FraudNet, room: int, after: int = 0, error: Exception = OUT_OF_MEMORY[0]) -> None:
        self.net, self.room, self.after, self.error, self.calls = net, room, after, error, 0

    def __call__(self, derived: Tensor, categorical: Tensor | None) -> Tensor:
        self.calls += 1
        if self.calls > self.after and len(derived) > self.room:
            raise self.error
        return self.net.network_logit(derived, categorical)


def trained(
    rows: Rows, make_score: Callable[[FraudNet], Score] | None = None, known: MicroBatches | None = None
) -> tuple[Tensor, History]:
    with deterministic(1):
        net = new_net(rows, HUNDRED_STEPS)
        score = make_score(net) if make_score else None
        history = train(net, resident(rows), HUNDRED_STEPS, CPU, None, seed=1, score=score, micro_batches=known)
    return weights(net), history


@pytest.fixture(scope="module")
def whole(rows: Rows) -> Tensor:
    """The weights after 120 steps of one big batch each."""
    return trained(rows)[0]


@pytest.mark.parametrize(("error", "after"), list(zip(OUT_OF_MEMORY, [0, 1, 57], strict=True)))
def test_micro_batches_give_the_weights_of_one_big_batch(
    rows: Rows, whole: Tensor, error: Exception, after: int
) -> None:
    found, history = trained(rows, lambda net: Narrow(net, 20, after, error))
    assert history.micro_batch == 12  # 50 rows a batch, halved twice
    assert history.batch_size == 50
    assert (found - whole).abs().max() < 1e-5


def test_memory_that_runs_out_within_a_batch_does_not_count_its_first_rows_twice(rows: Rows, whole: Tensor) -> None:
    def make_score(net: FraudNet) -> Score:
        calls = 0

        def score(derived: Tensor, categorical: Tensor | None) -> Tensor:
            nonlocal calls
            calls += 1
            if calls == 1 or calls == 3:  # the whole batch, then the second half of it
                raise OUT_OF_MEMORY[0]
            return net.score(derived, categorical)

        return score

    found, history = trained(rows, make_score)
    assert history.micro_batch == 12
    assert (found - whole).abs().max() < 1e-5


def test_what_fitted_is_remembered_and_used_at_once(rows: Rows, whole: Tensor, tmp_path: Path) -> None:
    known = MicroBatches(tmp_path / "micro_batches.json")
    trained(rows, lambda net: Narrow(net, 20), known)
    never_full: list[Narrow] = []

    def make_score(net: FraudNet) -> Score:
        never_full.append(Narrow(net, 12, error=AssertionError("more rows than were known to fit")))
        return never_full[0]

    found, history = trained(rows, make_score, known)
    assert history.micro_batch == 12
    assert (found - whole).abs().max() < 1e-5


def test_a_damaged_memory_of_what_fitted_is_as_none(rows: Rows, tmp_path: Path) -> None:
    file = tmp_path / "micro_batches.json"
    for text in ("", "{", "[]", '{"card": "many"}'):
        file.write_text(text)
        assert MicroBatches(file).get("card") is None
    MicroBatches(file).remember("card", 8)
    assert MicroBatches(file).get("card") == 8


def test_not_one_row_fits(rows: Rows) -> None:
    with pytest.raises(TrainingFailed, match=r"not even one row.*CUDA out of memory.*training\.width"):
        trained(rows, lambda net: Narrow(net, 0))


def test_another_error_is_not_taken_for_memory(rows: Rows) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        trained(rows, lambda net: Narrow(net, 20, error=RuntimeError("shapes do not match")))


def poisoned(net: FraudNet, bad_calls: range) -> Score:
    """Some steps' logits are no numbers."""
    calls = 0

    def score(derived: Tensor, categorical: Tensor | None) -> Tensor:
        nonlocal calls
        calls += 1
        logits = net.score(derived, categorical)
        return logits * float("nan") if calls - 1 in bad_calls else logits

    return score


def test_a_step_that_is_not_finite_is_skipped_and_counted(rows: Rows) -> None:
    found, history = trained(rows, lambda net: poisoned(net, range(40, 43)))
    assert history.skipped == (40, 41, 42)
    assert found.isfinite().all()
    assert all(epoch.loss > 0 for epoch in history.epochs)


def test_too_many_skipped_steps_end_the_run_with_the_rows_of_their_batches(rows: Rows, tmp_path: Path) -> None:
    settings = HUNDRED_STEPS.model_copy(update={"max_skipped_steps": 2})
    net = new_net(rows, settings)
    order = Draw(rows.labels, settings.genuine_per_fraud, 1).epoch(1)
    with deterministic(1), pytest.raises(NotFinite, match=r"in 3 steps.*max_skipped_steps allows 2") as raised:
        train(
            net, resident(rows), settings, CPU, None, seed=1, score=poisoned(net, range(5, 8)),
            checkpoints=Checkpoints(tmp_path, {}),
        )  # fmt: skip
    assert raised.value.batches == {number: order[50 * number : 50 * number + 50].tolist() for number in (5, 6, 7)}
    assert str(tmp_path / BAD_BATCHES) in str(raised.value)
    stored = json.loads((tmp_path / BAD_BATCHES).read_text())
    assert stored == {str(number): positions for number, positions in raised.value.batches.items()}


def stepper(rows: Rows, precision: str = "fp32", score: Score | None = None) -> tuple[Stepper, Batch]:
    net = new_net(rows, HUNDRED_STEPS).train()
    plan = Plan(1, 50, 40, 120, 1e-3, 1e-2, 0.0)
    block = next(resident(rows).blocks(torch.arange(50), 50))
    return Stepper(net, plan, Hardware(CPU.device, precision), score=score), Batch(block, 0, 50)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_skipped_step_leaves_weights_and_moments_as_they_are(rows: Rows, precision: str) -> None:
    made, batch = stepper(rows, precision)
    for number in range(3):
        assert not made.step(number, batch).is_faulty
    before = {name: tensor.clone() for name, tensor in made.moments().items()} | {"weights": weights(made.net).clone()}
    made.score = poisoned(made.net, range(1))
    assert made.step(3, batch).is_faulty
    after = made.moments() | {"weights": weights(made.net)}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not made.step(4, batch).is_faulty
    assert not torch.equal(weights(made.net), before["weights"])


def test_an_overflow_of_fp16_lowers_the_scale_and_is_no_fault_until_that_cannot_help(rows: Rows) -> None:
    made, batch = stepper(rows, "fp16")

    def overflowing(derived: Tensor, categorical: Tensor | None) -> Tensor:
        logits = made.net.score(derived, categorical)
        logits.register_hook(lambda gradient: gradient * float("inf"))
        return logits

    made.score = overflowing
    first, before = weights(made.net).clone(), made.scaler.get_scale()
    faults = [bool(made.step(number, batch).is_faulty) for number in range(20)]
    assert before == 2.0**16 and made.scaler.get_scale() < 1
    assert faults == [False] * 16 + [True] * 4
    assert torch.equal(weights(made.net), first)


def test_members_learn_each_by_itself(rows: Rows) -> None:
    """Two equal members give the gradient of one."""
    alone, batch = stepper(rows)
    torch.manual_seed(0)
    twins, _ = stepper(rows)
    twins.net.load_state_dict(alone.net.state_dict())
    twins.score = lambda derived, categorical: twins.net.score(derived, categorical)[:, None].expand(-1, 2)
    losses = [float(made.step(0, batch).loss) for made in (alone, twins)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert (weights(alone.net) - weights(twins.net)).abs().max() < 1e-6


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_shares_in_their_order_are_the_batch(world: int, size: int) -> None:
    batch = torch.arange(size)
    assert torch.equal(torch.cat([Peers(rank, world).share(batch) for rank in range(world)]), batch)
