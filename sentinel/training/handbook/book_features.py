"""The handbook's own 15 features, as its book builds them: for its published figures, not for our model.

Windows end with the present transaction, which they include. A terminal's risk is the share of frauds among the
labels that are 7 days old or older, over 1, 7 and 30 days before that.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

DAY_US = 86_400_000_000
DELAY_DAYS = 7
WINDOWS = (1, 7, 30)
NIGHT_ENDS = 6  # the last hour that counts as night


def handbook_features(table: Path) -> NDArray[np.float64]:
    """[N, 15], in the order of transaction_id; `table` has the contract's columns."""
    columns = ["amount_minor / 100", "(isodow(moment) >= 6)::INT", f"(hour(moment) <= {NIGHT_ENDS})::INT"]
    for days in WINDOWS:
        columns += [_over("count(*)", "customer_id", days), _over("avg(amount_minor / 100)", "customer_id", days)]
    for days in WINDOWS:
        columns += [_delayed("count(*)", days), _risk(days)]
    named = [f"({column})::DOUBLE AS feature_{position}" for position, column in enumerate(columns)]
    query = f"""
        WITH moments AS (
            SELECT *, event_timestamp AT TIME ZONE 'UTC' AS moment, epoch_us(event_timestamp) AS at_us,
                   coalesce(is_fraud, false)::INT AS fraud
            FROM read_parquet($table))
        SELECT transaction_id, {", ".join(named)} FROM moments ORDER BY transaction_id"""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(query, {"table": str(table)}).fetchnumpy()
    return np.stack([np.asarray(found[f"feature_{position}"]) for position in range(len(columns))], axis=1)


def _over(measure: str, key: str, days: int) -> str:
    """`measure` over (now - days, now]."""
    window = f"RANGE BETWEEN {days * DAY_US - 1} PRECEDING AND CURRENT ROW"
    return f"{measure} OVER (PARTITION BY {key} ORDER BY at_us {window})"


def _delayed(measure: str, days: int) -> str:
    whole, waiting = (_over(measure, "merchant_id", length) for length in (DELAY_DAYS + days, DELAY_DAYS))
    return f"coalesce({whole}, 0) - coalesce({waiting}, 0)"


def _risk(days: int) -> str:
    frauds, labels = _delayed("sum(fraud)", days), _delayed("count(*)", days)
    return f"coalesce(({frauds}) / nullif({labels}, 0), 0)"
