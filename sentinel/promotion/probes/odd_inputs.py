"""Inputs that no honest caller sends, and that arrive all the same: missing, infinite, extreme, unknown, nonsense."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from sentinel.model.inputs import ModelInputs
from sentinel.promotion.questions import ALL_INPUTS, NONSENSE, ODD_CODES, ODD_NUMBERS
from sentinel.scoring import Categorical, Numeric, Scorer

ROWS = 16  # real ones, each of which is spoilt in every way
_NONSENSE_ROWS = 512
_SEED = 11

Spoilt = tuple[str, str, Numeric, Categorical]


def ask_odd_inputs(inputs: ModelInputs, numeric: Numeric, categorical: Categorical, scorer: Scorer) -> pa.Table:
    """A row an answer, with the input that was odd and the name of its value. `numeric`, `categorical`: real rows."""
    spoilt = list(_spoilt(inputs, numeric, categorical))
    answers = scorer.score(np.concatenate([one[2] for one in spoilt]), np.concatenate([one[3] for one in spoilt]))
    names, values = ([one[at] for one in spoilt for _ in one[2]] for at in (0, 1))
    columns = {"input": pa.array(names).dictionary_encode(), "value": pa.array(values).dictionary_encode()}
    return pa.table({**columns, "answer": pa.array(answers, pa.float32())})


def _spoilt(inputs: ModelInputs, numeric: Numeric, categorical: Categorical) -> Iterator[Spoilt]:
    for name, odd in ODD_NUMBERS.items():
        yield ALL_INPUTS, name, np.full_like(numeric, odd), categorical
        for position, column in enumerate(inputs.numeric):
            changed = numeric.copy()
            changed[:, position] = odd
            yield column, name, changed, categorical
    for name, code in ODD_CODES.items():
        for position, vocabulary in enumerate(inputs.categorical):
            codes = categorical.copy()
            codes[:, position] = code
            yield vocabulary.name, name, numeric, codes
    yield ALL_INPUTS, NONSENSE, *_nonsense(numeric.shape[1], categorical.shape[1])


def _nonsense(numbers: int, categories: int) -> tuple[Numeric, Categorical]:
    """Of every size and sign, a fifth of them missing."""
    random = np.random.default_rng(_SEED)
    size = (_NONSENSE_ROWS, numbers)
    values = random.choice([-1.0, 1.0], size) * 10.0 ** random.uniform(-300, 300, size)
    values[random.random(size) < 0.2] = np.nan
    bounds = np.iinfo(np.int64)
    return values, random.integers(bounds.min, bounds.max, (_NONSENSE_ROWS, categories), endpoint=True)
