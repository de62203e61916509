"""The other world differs from the data in nothing that was knowable by the cut."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.config import Features
from sentinel.features.audit.worlds import another_future, with_companions
from sentinel.features.spec import FeatureSet, feature_set, microseconds
from tests.features.project import START, columns_of, row, table_of

LAG = timedelta(seconds=1)
RULES = Features(ingestion_lag=LAG, label_delay=timedelta(days=3))
US = timedelta(microseconds=1)
CUT = START + timedelta(days=5)
# around the cut, the lag and the label's delay before it, to the microsecond
MOMENTS = st.tuples(
    st.sampled_from([CUT, CUT - LAG, CUT - timedelta(days=3), START, CUT + timedelta(days=2)]), st.integers(-1, 1)
).map(lambda parts: parts[0] + parts[1] * US)


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, FeatureSet]:
    has_arrival, has_label_time, has_text = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    rows: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 12))):
        key = draw(st.integers(1, 3))
        values: dict[str, Any] = {
            "customer_id": f"c{key}" if has_text else key,
            "merchant_id": draw(st.sampled_from([None, f"m{key}" if has_text else key])),
            "is_fraud": draw(st.sampled_from([True, False, None])),
        }
        if has_arrival:
            values["recorded_at"] = draw(MOMENTS)
            number = draw(st.integers(0, 4))
        if has_label_time:
            values["label_available_at"] = draw(st.one_of(st.none(), MOMENTS))
        rows.append(row(number, timedelta(0), **values) | {"event_timestamp": draw(MOMENTS)})
    unique = list({(each["transaction_id"], each.get("recorded_at")): each for each in rows}.values())
    return table_of(unique), feature_set(columns_of(rows[0]), RULES)


def known_at(version: dict[str, Any]) -> datetime:
    return max(version["event_timestamp"], version.get("recorded_at", version["event_timestamp"])) + LAG


def knowable(table: pa.Table) -> list[str]:
    """Every version that was knowable by the cut, with its label if that was."""
    found: list[str] = []
    for version in table.to_pylist():
        arrived = version.get("label_available_at", version["event_timestamp"] + RULES.label_delay)
        if known_at(version) > CUT:
            continue
        if version["is_fraud"] is None or arrived is None or max(arrived, known_at(version)) > CUT:
            version |= {"is_fraud": "unknown", "label_available_at": "unknown"}
        found.append(str(sorted(version.items())))
    return sorted(found)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(made=tables(), seed=st.integers(0, 99))
def test_what_was_knowable_is_the_same_in_both_worlds(made: tuple[pa.Table, FeatureSet], seed: int) -> None:
    table, wanted = made
    random, cut = np.random.default_rng(seed), pa.scalar(CUT, pa.timestamp("us", "UTC")).value
    asked = list(range(0, table.num_rows, 2))
    original = with_companions(table, asked, cut, wanted, random)
    other = another_future(original, asked, cut, wanted, random)
    assert original.slice(0, table.num_rows).equals(table)
    assert original.schema == other.schema == table.schema
    assert knowable(original) == knowable(other)
    versions = [(each["transaction_id"], each.get("recorded_at")) for each in other.to_pylist()]
    assert len(versions) == len(set(versions))


def test_nearly_everything_else_is_another() -> None:
    rows = [
        row(number, timedelta(hours=number), is_fraud=number % 2 == 0, label_available_at=CUT + timedelta(days=1))
        for number in range(240)
    ]
    table = table_of(rows)
    wanted = feature_set(columns_of(rows[0]), RULES)
    cut = pa.scalar(CUT, pa.timestamp("us", "UTC")).value
    other = another_future(table, [0, 120], cut, wanted, np.random.default_rng(1)).to_pylist()
    by_id = {each["transaction_id"]: each for each in other}
    after = [each for each in rows if known_at(each) > CUT]
    same_amount = [each for each in after if by_id.get(each["transaction_id"], {}).get("amount_minor") == 1000]
    deleted = [each for each in after if each["transaction_id"] not in by_id]
    moved = [
        each for each in after if by_id.get(each["transaction_id"], each)["event_timestamp"] != each["event_timestamp"]
    ]
    same_label = [each for each in rows if by_id.get(each["transaction_id"], {}).get("is_fraud") == each["is_fraud"]]
    assert same_amount == [] and same_label == []
    assert 10 <= len(deleted) <= 40 and 30 <= len(moved) <= 80
    first_known = min(known_at(each) for each in other if known_at(each) > CUT)
    assert first_known == CUT + US
    assert microseconds(first_known - CUT) == 1
