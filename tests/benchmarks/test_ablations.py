"""Every row of the ablations can be made of the feature set it changes, and only takes away."""

from __future__ import annotations

import pytest
import torch

from benchmarks.ablations import FIGURES, ROWS, markdown, restricted
from sentinel.config import Training, load_config
from sentinel.features.spec import feature_set
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from tests.conftest import ROOT

HANDBOOK = load_config(ROOT / "configs" / "handbook.toml")
ALL = feature_set(HANDBOOK.columns, HANDBOOK.features).to_dict()


@pytest.mark.parametrize("name", ROWS)
def test_row_leaves_a_model_to_train(name: str) -> None:
    row = ROWS[name]
    inputs = ModelInputs.from_feature_set(kept := restricted(ALL, row))
    derive = DerivedFeatures(inputs, kept)
    numeric = torch.ones((5, len(inputs.numeric)), dtype=torch.float64)
    assert derive(numeric).shape == (5, len(derive.names))
    assert set(inputs.numeric) <= set(ModelInputs.from_feature_set(ALL).numeric)
    Training.model_validate({**Training().model_dump(), **row.settings})
    is_base = kept == ALL and not row.settings
    assert is_base == (name == "base")


def test_pair_and_label_rows_take_away_what_their_names_say() -> None:
    def names(row: str) -> str:
        kept = restricted(ALL, ROWS[row])
        return " ".join(entry["name"] for key in ("aggregates", "ages") for entry in kept[key])

    assert "customer_merchant" in names("base") and "customer_merchant" not in names("no_pair")
    assert "fraud_count" in names("base") and "fraud_count" not in names("no_labels")
    assert "age_us" in names("base") and "age_us" not in names("no_ages")


def test_line_of_the_table_has_every_figure_in_the_tables_order() -> None:
    figures = dict(zip(FIGURES, (0.88, 0.72, 0.31), strict=True))
    document = {
        "row": "base", "what": "all", "features": 60, "mean": figures, "seconds": 61.4,
        "seeds": [{**figures, "pr_auc": 0.71}, {**figures, "pr_auc": 0.73}],
    }  # fmt: skip
    assert markdown(document) == "| `base` | all | 60 | 0.8800 | 0.7200 | 0.3100 | 0.7100 to 0.7300 | 61 |"
