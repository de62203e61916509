"""XGBoost and CatBoost, tuned on the handbook's validation folds for as long as the network is.

    python -m benchmarks.tuned_peers --data FILE [--minutes 30] [--trials N] [--json FILE]

Same features, same folds, same search (Optuna, resumed where it was stopped). With `--json
sentinel/training/tuning/tuned_peers.json` the best settings become those that `sentinel evaluate` compares with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.handbook_data import WITHOUT_DATA, HandbookData, open_handbook
from benchmarks.report import describe_machine

PACKAGES = ("xgboost-cpu", "catboost", "optuna", "numpy")
SEED = 1
MINUTES = 30.0
ENDLESS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the handbook's transactions, one CSV or Parquet file")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for each peer, in this call")
    parser.add_argument("--trials", type=int, default=ENDLESS, help="of each peer, with those of earlier calls")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.data is None:
        print(WITHOUT_DATA)
        return
    document = tune_peers(open_handbook(options.data), options.minutes, options.trials)
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    for key, peer in document["peers"].items():
        print(f"{key}: {peer['trials']} trials in {peer['minutes']:.1f} min, validation {peer['validation']}")
        print(f"  {peer['settings']}")


def tune_peers(handbook: HandbookData, minutes: float, trials: int) -> dict[str, Any]:
    from flows.cli.live import one_bar
    from sentinel.training.handbook.protocol import VALIDATION_FOLDS
    from sentinel.training.handbook.table import read_handbook
    from sentinel.training.tuning.peer_models import PEERS, TunedPeer, peer_search
    from sentinel.training.tuning.search import search

    data = read_handbook(handbook.folder, handbook.feature_set, VALIDATION_FOLDS).data
    machine = describe_machine(PACKAGES)
    judged_on = {"table": handbook.sha256, "versions": machine["versions"]}
    database = handbook.paths.home / "tuning" / "peers.db"
    found: dict[str, Any] = {}
    for key, peer in PEERS.items():
        wanted = peer_search(data, key, judged_on, SEED)
        with one_bar(key) as progress:
            ended = search(wanted, database, trials=trials, minutes=minutes, progress=progress)
        if ended.was_interrupted or ended.best is None or ended.best.mean is None:
            raise SystemExit(f"{peer.title}: interrupted. The same call goes on from here.")
        found[key] = TunedPeer(
            settings={**peer.start, **ended.best.settings},
            found_by="python -m benchmarks.tuned_peers --data FILE",
            minutes=round(sum(tried.seconds for tried in ended.tried) / 60, 1),
            trials=len(ended.tried),
            validation=ended.best.mean.to_dict(),
        ).to_dict()
    return {"benchmark": "tuned_peers", **machine, "peers": found}


if __name__ == "__main__":
    main()
