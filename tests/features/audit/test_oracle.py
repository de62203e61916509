"""The oracle by numbers counted by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from sentinel.config import Column, Features
from sentinel.features.audit.oracle import ASKED_AT, expected_features, moments_asked
from sentinel.features.spec import FeatureSet, feature_set
from tests.features.project import START, columns, row, table_of

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
RULES = Features(ingestion_lag=SECOND, label_delay=3 * DAY)


def wanted_for(rows: list[dict[str, Any]]) -> FeatureSet:
    optional = [name for name in ("merchant_id", "recorded_at", "label_available_at") if name in rows[0]]
    return feature_set(columns(**{name: Column(source=name) for name in optional}), RULES)


def ask(rows: list[dict[str, Any]], at: datetime, **keys: int | None) -> dict[str, int | None]:
    """The features of `keys` (customer 1 unless given) as of `at`."""
    wanted, source = wanted_for(rows), table_of(rows)
    keys = {"customer_id": 1, **({"merchant_id": None} if "merchant_id" in rows[0] else {}), **keys}
    asked = {name: pa.array([key], pa.int64()) for name, key in keys.items()}
    asked[ASKED_AT] = pa.array([at], pa.timestamp("us", "UTC"))
    return dict(zip(wanted.columns, expected_features(source, wanted, pa.table(asked))[0], strict=True))


def moment_of(after: timedelta) -> int:
    return round((START + after).timestamp()) * 1_000_000


def test_payment_counts_from_the_ingestion_lag_on() -> None:
    rows = [row(1, 0 * HOUR)]
    assert ask(rows, START + SECOND - MICROSECOND)["customer_count_1h"] is None
    found = ask(rows, START + SECOND)
    assert (found["customer_count_1h"], found["customer_spending_age_us"]) == (1, 0)


def test_window_holds_its_end_and_not_its_start() -> None:
    rows = [row(1, 0 * HOUR, amount_minor=1), row(2, HOUR - MICROSECOND, amount_minor=2), row(3, HOUR, amount_minor=4)]
    found = ask(rows, START + 5 * HOUR)
    assert (found["customer_amount_sum_1h"], found["customer_amount_sum_1d"]) == (6, 7)
    assert (found["customer_count_1h"], found["customer_amount_max_1d"]) == (2, 4)
    assert found["customer_amount_sum_of_squares_1d"] == 1 + 4 + 16


def test_value_speaks_as_of_the_last_event_until_its_ttl() -> None:
    rows = [row(1, 0 * HOUR, amount_minor=5), row(2, HOUR, amount_minor=7)]
    last = START + HOUR + SECOND
    found = ask(rows, last + 30 * DAY)
    assert (found["customer_amount_sum_1d"], found["customer_spending_age_us"]) == (12, 30 * DAY // MICROSECOND)
    expired = ask(rows, last + 30 * DAY + MICROSECOND)
    assert {name: value for name, value in expired.items() if "labels" not in name} == {
        name: None for name in expired if "labels" not in name
    }


def test_payments_of_one_moment_make_one_row() -> None:
    rows = [row(number, 0 * HOUR, amount_minor=number) for number in (1, 2, 3)]
    found = ask(rows, START + SECOND)
    assert (found["customer_count_1h"], found["customer_amount_sum_1h"], found["customer_amount_max_1d"]) == (3, 6, 3)


def test_keys_that_read_alike_are_told_apart() -> None:
    rows = [row(1, 0 * HOUR, customer_id=1, merchant_id=23), row(2, HOUR, customer_id=12, merchant_id=3)]
    at = START + 2 * HOUR
    assert ask(rows, at, customer_id=1, merchant_id=23)["customer_merchant_count_30d"] == 1
    assert (
        ask(rows, at, customer_id=12, merchant_id=3)["customer_merchant_spending_age_us"]
        == (HOUR - SECOND) // MICROSECOND
    )
    assert ask(rows, at, customer_id=1, merchant_id=3)["customer_merchant_count_30d"] is None
    assert ask(rows, at, customer_id=1, merchant_id=3)["merchant_count_30d"] == 1
    assert ask(rows, at, customer_id=1, merchant_id=None)["merchant_count_30d"] is None


def test_keys_asked_about_together_are_told_apart() -> None:
    paid = [(1, 23), (12, 3), (1, 3)]
    rows = [row(number, 0 * HOUR, customer_id=pair[0], merchant_id=pair[1]) for number, pair in enumerate(paid)]
    pairs = [(customer, merchant) for customer in (1, 12) for merchant in (23, 3)]
    keys = {"customer_id": [customer for customer, _ in pairs], "merchant_id": [merchant for _, merchant in pairs]}
    asked = pa.table({**keys, ASKED_AT: pa.array([START + HOUR] * 4, pa.timestamp("us", "UTC"))})
    wanted = wanted_for(rows)
    place = wanted.columns.index("customer_merchant_count_30d")
    assert [answer[place] for answer in expected_features(table_of(rows), wanted, asked)] == [1, 1, None, 1]


def test_different_merchants_are_counted_once_and_null_not_at_all() -> None:
    rows = [row(number, number * HOUR, merchant_id=merchant) for number, merchant in enumerate([7, 7, None, 8])]
    assert ask(rows, START + 4 * HOUR)["customer_distinct_merchants_1d"] == 2
    assert ask(rows, START + 4 * HOUR)["customer_count_1d"] == 4


@pytest.mark.parametrize(
    ("label_at", "known_at"),
    [(-DAY, SECOND), (2 * DAY, 2 * DAY), (None, None)],
    ids=["early: with its payment", "late: when it arrives", "never"],
)
def test_label_counts_when_the_bank_has_it(label_at: timedelta | None, known_at: timedelta | None) -> None:
    moment = None if label_at is None else START + label_at
    rows = [row(1, 0 * HOUR, is_fraud=True, label_available_at=moment)]
    if known_at is None:
        assert ask(rows, START + 20 * DAY)["customer_fraud_count_30d"] is None
    else:
        assert ask(rows, START + known_at - MICROSECOND)["customer_fraud_count_30d"] is None
        assert ask(rows, START + known_at)["customer_fraud_count_30d"] == 1


def test_label_without_a_time_counts_after_the_delay_and_an_unknown_one_never() -> None:
    rows = [row(1, 0 * HOUR, is_fraud=False), row(2, 0 * HOUR)]
    assert ask(rows, START + 3 * DAY - MICROSECOND)["customer_label_count_30d"] is None
    found = ask(rows, START + 3 * DAY)
    assert (found["customer_label_count_30d"], found["customer_fraud_count_30d"]) == (1, 0)


def test_genuine_amounts_leave_out_frauds_and_payments_without_a_label() -> None:
    judged = [(300, False), (-50, False), (9000, True), (7, None)]
    rows = [row(n, n * HOUR, amount_minor=amount, is_fraud=fraud) for n, (amount, fraud) in enumerate(judged)]
    found = ask(rows, START + 4 * DAY)
    assert (found["customer_genuine_amount_sum_30d"], found["customer_genuine_amount_max_30d"]) == (250, 300)
    assert found["customer_genuine_amount_sum_of_squares_30d"] == 92_500
    only_fraud = ask(rows[2:3], START + 4 * DAY)
    assert (only_fraud["customer_genuine_amount_sum_30d"], only_fraud["customer_genuine_amount_max_30d"]) == (0, None)


def test_first_fraud_is_the_earliest_that_is_known_and_null_without_one() -> None:
    def known(number: int, after: timedelta, label_after: timedelta, fraud: bool = True) -> dict[str, Any]:
        return row(number, after, merchant_id=7, is_fraud=fraud, label_available_at=START + label_after)

    rows = [known(1, 0 * DAY, DAY, False), known(2, 2 * DAY, 3 * DAY), known(3, DAY, 5 * DAY)]
    moments = [DAY, 3 * DAY, 5 * DAY - MICROSECOND, 5 * DAY]
    found = [ask(rows, START + after, merchant_id=7)["merchant_first_fraud_at_30d"] for after in moments]
    second, third = (moment_of(after) for after in (2 * DAY, DAY))
    assert found == [None, second, second, third]
    # the label of the third was known 29 days before the last, that of the second 31 days: only its label counts
    rows.append(known(4, 33 * DAY, 34 * DAY))
    assert ask(rows, START + 34 * DAY, merchant_id=7)["merchant_first_fraud_at_30d"] == third
    rows.append(known(5, 34 * DAY, 35 * DAY, False))
    assert ask(rows, START + 35 * DAY, merchant_id=7)["merchant_first_fraud_at_30d"] == moment_of(33 * DAY)


def test_last_fraud_and_last_genuine_payment_are_the_latest_that_happened_not_those_known_last() -> None:
    def known(number: int, after: timedelta, label_after: timedelta, fraud: bool) -> dict[str, Any]:
        return row(number, after, merchant_id=7, is_fraud=fraud, label_available_at=START + label_after)

    rows = [
        known(1, 3 * DAY, 4 * DAY, True), known(2, 2 * DAY, 5 * DAY, True),
        known(3, DAY, 6 * DAY, False), known(4, 0 * DAY, 7 * DAY, False),
    ]  # fmt: skip
    found = [ask(rows, START + after * DAY, merchant_id=7) for after in (3, 4, 5, 6, 7)]
    fraud, genuine = moment_of(3 * DAY), moment_of(DAY)
    assert [each["merchant_last_fraud_at_30d"] for each in found] == [None, fraud, fraud, fraud, fraud]
    assert [each["merchant_last_genuine_at_30d"] for each in found] == [None, None, None, genuine, genuine]


def test_fraud_that_a_correction_makes_genuine_is_none_from_then_on() -> None:
    first = row(1, 0 * DAY, merchant_id=7, is_fraud=True, recorded_at=START)
    rows = [first, {**first, "is_fraud": False, "recorded_at": START + 5 * DAY}]
    before, after = (ask(rows, START + 5 * DAY + wait, merchant_id=7) for wait in (0 * DAY, SECOND))
    assert before["merchant_first_fraud_at_30d"] == before["merchant_last_fraud_at_30d"] == moment_of(0 * DAY)
    assert (before["merchant_last_genuine_at_30d"], after["merchant_last_genuine_at_30d"]) == (None, moment_of(0 * DAY))
    assert (before["customer_genuine_amount_sum_30d"], before["customer_genuine_amount_max_30d"]) == (0, None)
    assert (after["merchant_first_fraud_at_30d"], after["merchant_fraud_count_30d"]) == (None, 0)
    assert after["merchant_last_fraud_at_30d"] is None
    assert (after["customer_genuine_amount_sum_30d"], after["customer_genuine_amount_max_30d"]) == (1000, 1000)


def test_correction_replaces_from_its_arrival_on_and_never_before() -> None:
    rows = [
        row(1, 0 * HOUR, amount_minor=5, recorded_at=START),
        row(1, 0 * HOUR, amount_minor=9, recorded_at=START + 2 * HOUR),
    ]
    assert ask(rows, START + 2 * HOUR + SECOND - MICROSECOND)["customer_amount_sum_1d"] == 5
    found = ask(rows, START + 2 * HOUR + SECOND)
    assert (found["customer_amount_sum_1d"], found["customer_count_1d"], found["customer_spending_age_us"]) == (9, 1, 0)


def test_correction_of_the_customer_leaves_a_row_without_the_payment() -> None:
    rows = [row(1, 0 * HOUR, recorded_at=START), row(1, 0 * HOUR, customer_id=2, recorded_at=START + 2 * HOUR)]
    left = ask(rows, START + 3 * HOUR)
    assert (left["customer_count_1d"], left["customer_amount_sum_1d"], left["customer_amount_max_1d"]) == (0, 0, None)
    assert left["customer_spending_age_us"] == (HOUR - SECOND) // MICROSECOND
    assert ask(rows, START + 3 * HOUR, customer_id=2)["customer_count_1d"] == 1


def test_version_known_after_a_later_one_is_never_heard() -> None:
    rows = [
        row(1, 0 * HOUR, amount_minor=1, recorded_at=START),
        row(1, 10 * HOUR, amount_minor=2, recorded_at=START + HOUR),
        row(1, 0 * HOUR, amount_minor=4, recorded_at=START + 2 * HOUR),
    ]
    sums = [ask(rows, START + after)["customer_amount_sum_1d"] for after in (2 * HOUR, 3 * HOUR, 11 * HOUR)]
    assert sums == [1, 4, 4]


def test_row_recorded_before_its_payment_is_known_after_the_payment() -> None:
    rows = [row(1, 0 * HOUR, recorded_at=START - DAY)]
    assert ask(rows, START)["customer_count_1d"] is None
    assert ask(rows, START + SECOND)["customer_count_1d"] == 1


@pytest.mark.parametrize("amount", [2**63 - 1, -(2**63) + 1, 3_037_000_500])
def test_sums_end_where_int64_ends(amount: int) -> None:
    rows = [row(number, number * SECOND, amount_minor=amount) for number in range(2)]
    found = ask(rows, START + HOUR)
    assert found["customer_amount_sum_1d"] == max(-(2**63) + 1, min(2**63 - 1, 2 * amount))
    assert found["customer_amount_sum_of_squares_1d"] == 2**63 - 1


def test_transaction_is_asked_about_before_any_version_of_it_was_known() -> None:
    rows = [
        row(1, 5 * HOUR, recorded_at=START + 5 * HOUR),
        row(1, 2 * HOUR, recorded_at=START + 6 * HOUR),
        row(2, 5 * HOUR, recorded_at=START + 4 * HOUR),
        row(2, 1 * HOUR, recorded_at=START + 4 * HOUR + SECOND),
    ]
    source = table_of(rows)
    asked = moments_asked(source, wanted_for(rows), source.take([0, 2]))
    epoch = [round((START + after).timestamp() * 1_000_000) for after in (5 * HOUR, 4 * HOUR + 2 * SECOND)]
    assert asked.tolist() == [epoch[0], epoch[1] - 1]


def test_a_leaky_definition_is_answered_by_the_honest_rules() -> None:
    rows = [row(1, 0 * HOUR, amount_minor=5), row(2, 3 * HOUR, amount_minor=7)]
    leaky = RULES.spec.model_validate({
        "customer": {"spending": {"amount_sum": [{"back": "1d", "ahead": "1d"}], "known_after": "0s"}}
    })  # fmt: skip
    wanted = feature_set(columns(), RULES.model_copy(update={"spec": leaky}))
    at = pa.array([START, START + SECOND], pa.timestamp("us", "UTC"))
    asked = pa.table({"customer_id": pa.array([1, 1], pa.int64()), ASKED_AT: at})
    assert expected_features(table_of(rows), wanted, asked) == [(None, None), (5, 0)]
