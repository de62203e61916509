"""The file in which a person writes the features."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from sentinel.config import Column, Features, load_config
from sentinel.errors import ConfigInvalid
from sentinel.feature_spec import DEFAULT_SPEC, FeatureSpec, load_spec
from sentinel.features.spec import feature_set
from tests.features.project import columns

MERCHANT = {"merchant_id": Column(source="shop")}


def spec_of(folder: Path, text: str) -> FeatureSpec:
    file = folder / "features.toml"
    file.write_text(text)
    return load_spec(file)


def names_of(spec: FeatureSpec, **mapped: object) -> tuple[str, ...]:
    return feature_set(columns(**mapped), Features(spec=spec)).columns


def test_one_line_adds_a_window_or_a_statistic(tmp_path: Path) -> None:
    written = '[customer.spending]\ncount = ["1d"]\n'
    assert names_of(spec_of(tmp_path, written)) == ("customer_count_1d", "customer_spending_age_us")
    added = names_of(spec_of(tmp_path, written + 'amount_max = ["2h", "90m"]\n'))
    assert added[:3] == ("customer_count_1d", "customer_amount_max_2h", "customer_amount_max_90m")


def test_what_a_table_lacks_is_left_out() -> None:
    only_customers = names_of(load_spec(DEFAULT_SPEC))
    assert not [name for name in only_customers if "merchant" in name]
    with_merchants = names_of(load_spec(DEFAULT_SPEC), **MERCHANT)
    assert {"customer_distinct_merchants_7d", "customer_merchant_count_30d"} <= set(with_merchants)


def test_further_entities_share_a_table_unless_they_have_their_own(tmp_path: Path) -> None:
    entities = {"device": Column(source="DEVICE"), "address": Column(source="IP")}
    spec = spec_of(tmp_path, '[further.spending]\ncount = ["1d"]\n[address.spending]\namount_sum = ["7d"]\n')
    views = feature_set(columns(entities=entities), Features(spec=spec)).views
    assert [(view.keys, view.columns) for view in views] == [
        (("device_id",), ("device_count_1d",)),
        (("address_id",), ("address_amount_sum_7d",)),
    ]


def test_a_leak_can_be_written_down(tmp_path: Path) -> None:
    text = '[customer.labels]\nknown_after = "0s"\nfraud_count = [{ back = "7d", ahead = "1d" }]\n'
    view = feature_set(columns(), Features(spec=spec_of(tmp_path, text))).views[0]
    assert view.known_after == timedelta(0)
    assert view.columns == ("customer_fraud_count_7d_ahead_1d",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[customer.spending]\ncont = ["1d"]', "unknown key customer.spending.cont"),
        ('[customer.payments]\ncount = ["1d"]', "customer.payments"),
        ('[customer.spending]\ncount = ["1 day"]', "a duration is a whole number with s, m, h or d"),
        ('[customer.spending]\ncount = ["0s"]', "customer.spending.count.0.back"),
        ('[customer.spending]\ncount = ["1d", "24h"]', "count names a window twice"),
        ('[customer.spending]\nlabel_count = ["1d"]', "label_count is no statistic of spending"),
        ("[customer.spending]\n", "[customer.spending] names no statistic"),
        ('[customer.spending]\ndistinct_merchants = [{ back = "1d", ahead = "1d" }]', "takes no window with `ahead`"),
        ("[customer", "is no valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigInvalid) as raised:
        spec_of(tmp_path, text)
    assert sentence in str(raised.value) and "features.toml" in str(raised.value)


def test_an_entity_that_no_column_declares_is_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, '[device.spending]\ncount = ["1d"]\n')
    with pytest.raises(ConfigInvalid, match=r"entity 'device', which \[columns.entities\] does not declare"):
        names_of(spec)


def test_a_config_names_its_own_spec_beside_it(tmp_path: Path) -> None:
    text = """
name = "mine"
[columns]
transaction_id = "id"
event_timestamp = "at"
customer_id = "card"
amount = "amount"
is_fraud = "fraud"
[features]
spec = "own.toml"
[gates]
min_pr_auc = 0.1
"""
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigInvalid, match=r"mine.toml:10: features.spec.*There is no feature spec .*own.toml"):
        load_config(tmp_path / "mine.toml")
    (tmp_path / "own.toml").write_text('[customer.spending]\ncount = ["3d"]\n')
    config = load_config(tmp_path / "mine.toml")
    assert feature_set(config.columns, config.features).columns[0] == "customer_count_3d"
