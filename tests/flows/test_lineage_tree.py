"""The drawing of the lineage, as a person sees it."""

from __future__ import annotations

import pytest

from flows.cli.lineage_tree import draw_transaction, draw_view
from sentinel.config import Column, Features
from sentinel.features.catalogue import list_views
from sentinel.features.spec import feature_set
from sentinel.model.lineage import derived_from
from tests.features.project import columns

WANTED = feature_set(
    columns(
        merchant_id=Column(source="merchant_id"),
        recorded_at=Column(source="recorded_at"),
        label_available_at=Column(source="label_available_at"),
        entities={"device": Column(source="device")},
    ),
    Features(),
)
VIEWS = {view.name: view for view in list_views(WANTED, None)}
DERIVED = derived_from(WANTED.to_dict())


def test_columns_lead_into_the_view_and_the_view_to_its_features_and_what_is_derived() -> None:
    assert draw_view(VIEWS["customer_merchant_spending"], DERIVED, 80).plain.splitlines() == [
        "customer_id ─────┐  ",
        "merchant_id ─────┤  ",
        "event_timestamp ─┼▶ customer_merchant_spending",
        "transaction_id ──┤  │ knowable 1s after recorded_at",
        "recorded_at ─────┤  │ kept 30d",
        "amount_minor ────┘  ├─ customer_merchant_count  1d  30d",
        "                    │  ▸ log_count, pace, log_mean, amount_to_mean, mean_shift",
        "                    ├─ customer_merchant_amount_sum  1d  30d",
        "                    │  ▸ log_sum, log_mean, amount_to_mean, mean_shift",
        "                    ├─ customer_merchant_amount_max  30d",
        "                    │  ▸ log_max, amount_to_max",
        "                    └─ customer_merchant_spending_age_us",
        "                       ▸ log, first_meeting",
    ]


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for view in VIEWS.values():
        drawn = draw_view(view, DERIVED, width).plain
        assert max(map(len, drawn.splitlines())) <= width
        assert all(feature.group in drawn for feature in view.features)


def test_what_comes_of_the_transaction_alone_is_drawn_by_column() -> None:
    drawn = draw_transaction(("amount_minor", "event_timestamp"), DERIVED, ("country",), 60).plain
    assert drawn.splitlines() == [
        "amount_minor ────▶ log_amount",
        "event_timestamp ─▶ hour, hour_sine, hour_cosine,",
        "                   weekday_sine, weekday_cosine, is_weekend,",
        "                   is_night",
        "country ─────────▶ the code of its category",
    ]
