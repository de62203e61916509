"""A stored decision counts only while the chain of decisions holds it."""

from __future__ import annotations

from pathlib import Path

from sentinel.artifacts import Decision
from sentinel.config import load_config
from sentinel.paths import Paths
from sentinel.promotion.decisions import append_decision
from sentinel.promotion.keys import signing_key
from tasks.promote import is_recorded, promote
from tasks.run import Code, Run
from tests.conftest import ROOT

DECISION = Decision(
    path="releases/1", sha256="a" * 64, name="handbook", version="1", outcome="promoted", reason="Every gate passed.",
    decided_by="run 1", decided_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip


def test_lost_chain_makes_the_decision_again(tmp_path: Path) -> None:
    config, paths = load_config(ROOT / "configs" / "handbook.toml"), Paths(tmp_path, tmp_path / "home")
    run = Run("run", config, paths, "sqlite://", Path("cpu.lock"), "lock", Code("none", False))
    chain = paths.decisions("handbook")
    private = signing_key(paths.keys)
    append_decision(chain, {"release": "b" * 64, "outcome": "rejected"}, private)
    assert promote.is_still_there is is_recorded
    assert not is_recorded(run, DECISION)
    append_decision(chain, {"release": DECISION.sha256, "outcome": "waiting"}, private)
    assert not is_recorded(run, DECISION)
    append_decision(chain, {"release": DECISION.sha256, "outcome": "promoted"}, private)
    assert is_recorded(run, DECISION)
    chain.unlink()
    assert not is_recorded(run, DECISION)
