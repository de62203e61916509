"""What each choice is worth: the default settings with one thing changed, on the handbook's validation folds.

    python -m benchmarks.ablations ROW --data FILE [--seeds 3] [--json FILE]
    python -m benchmarks.ablations --list

No row of the test folds is scored. The features are built once and kept; the last line printed is the row of the
table in docs/training.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.handbook_data import WITHOUT_DATA, HandbookData, open_handbook
from benchmarks.report import describe_machine

PACKAGES = ("torch", "scikit-learn", "numpy")
FIGURES = ("roc_auc", "pr_auc", "card_precision_at_100")
ADDED = (
    "distinct_merchants", "first_fraud_at", "last_fraud_at", "last_genuine_at",
    "genuine_amount_sum", "genuine_amount_sum_of_squares", "genuine_amount_max",
)  # fmt: skip

Keep = Callable[[Mapping[str, Any]], bool]


def everything(entry: Mapping[str, Any]) -> bool:
    return True


def nothing(entry: Mapping[str, Any]) -> bool:
    return False


def no_pair(entry: Mapping[str, Any]) -> bool:
    return entry["entity"] != "customer_merchant"


def no_labels(entry: Mapping[str, Any]) -> bool:
    return entry["kind"] != "labels"


def no_genuine_amounts(entry: Mapping[str, Any]) -> bool:
    return not entry["statistic"].startswith("genuine_")


def no_first_fraud(entry: Mapping[str, Any]) -> bool:
    return entry["statistic"] != "first_fraud_at"


def no_last_moments(entry: Mapping[str, Any]) -> bool:
    return entry["statistic"] not in ("last_fraud_at", "last_genuine_at")


def first_version(entry: Mapping[str, Any]) -> bool:
    """The features of the first version, 36 of whose 38 are still stored."""
    if not no_pair(entry) or entry["statistic"] in ADDED:
        return False
    is_merchants = entry["entity"] == "merchant" and entry["kind"] == "spending"
    return not is_merchants or (entry["statistic"] in ("count", "amount_sum") and entry["window_us"] > 3_600_000_000)


@dataclass(frozen=True)
class Row:
    """`settings`: [training] values other than the default ones. `aggregates`, `ages`: which of the features stay."""

    what: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    aggregates: Keep = everything
    ages: Keep = everything


ROWS = {
    "base": Row("the default settings of `sentinel evaluate --protocol handbook`"),
    "no_pair": Row("without what customer and terminal had with each other", aggregates=no_pair, ages=no_pair),
    "no_ages": Row("without the ages of the stored rows", ages=nothing),
    "no_labels": Row("without what became known of frauds", aggregates=no_labels, ages=no_labels),
    "no_genuine_amounts": Row("without the amounts that proved genuine", aggregates=no_genuine_amounts),
    "no_first_fraud": Row("without the moment of the first known fraud", aggregates=no_first_fraud),
    "no_last_moments": Row("without when the last known fraud and genuine payment were", aggregates=no_last_moments),
    "first_features": Row("the first version's features alone", aggregates=first_version, ages=no_pair),
    "no_forest": Row("the network without the forest", {"trees": 0}),
    "two_bins": Row("two bins an input: hardly an encoding", {"bins": 2}),
    "no_dropout": Row("without dropout", {"dropout": 0.0}),
    "one_layer": Row("one layer", {"layers": 1}),
    "all_genuine": Row("every genuine row in every epoch", {"genuine_per_fraud": 1_000_000}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="?", choices=ROWS, default="base", metavar="ROW")
    parser.add_argument("--data", type=Path, help="the handbook's transactions, one CSV or Parquet file")
    parser.add_argument("--seeds", type=int, default=3, help="how many trainings each figure is the mean of")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--list", action="store_true", help="name the rows")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:<20}{row.what}" for name, row in ROWS.items()))
    elif options.data is None:
        print(WITHOUT_DATA)
    else:
        document = measure(options.row, open_handbook(options.data), range(1, options.seeds + 1))
        if options.json:
            options.json.write_text(json.dumps(document, indent=2) + "\n")
        print(markdown(document))


def measure(name: str, handbook: HandbookData, seeds: Sequence[int]) -> dict[str, Any]:
    from sentinel.config import Training
    from sentinel.training.handbook.protocol import VALIDATION_FOLDS
    from sentinel.training.handbook.table import read_handbook
    from sentinel.training.tuning.folds import fit_and_judge, mean

    row, started = ROWS[name], time.perf_counter()
    settings = Training.model_validate({**handbook.settings.model_dump(mode="json"), **row.settings})
    data = read_handbook(handbook.folder, restricted(handbook.feature_set, row), VALIDATION_FOLDS).data
    found = {fold.name: [fit_and_judge(data, fold, settings, seed) for seed in seeds] for fold in data.folds}
    return {
        "benchmark": "ablations",
        **describe_machine(PACKAGES),
        "row": name,
        "what": row.what,
        "command": f"python -m benchmarks.ablations {name} --data FILE --seeds {len(seeds)}",
        "features": len(data.inputs.numeric),
        "settings": settings.model_dump(mode="json"),
        "folds": {fold: mean(scores).to_dict() for fold, scores in found.items()},
        "seeds": [mean([scores[at] for scores in found.values()]).to_dict() for at in range(len(seeds))],
        "mean": mean([each for scores in found.values() for each in scores]).to_dict(),
        "seconds": round(time.perf_counter() - started, 1),
    }


def restricted(feature_set: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """The feature set with what the row keeps of it."""
    kept = {"aggregates": row.aggregates, "ages": row.ages}
    return {**feature_set, **{key: [entry for entry in feature_set[key] if keep(entry)] for key, keep in kept.items()}}


def markdown(document: Mapping[str, Any]) -> str:
    figures = " | ".join(f"{document['mean'][figure]:.4f}" for figure in FIGURES)
    spread = [seed["pr_auc"] for seed in document["seeds"]]
    return (
        f"| `{document['row']}` | {document['what']} | {document['features']} | {figures} "
        f"| {min(spread):.4f} to {max(spread):.4f} | {document['seconds']:.0f} |"
    )


if __name__ == "__main__":
    main()
