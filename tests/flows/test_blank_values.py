"""A value that an unset variable of a script left empty."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flows.cli import build_app


@pytest.mark.parametrize("call", [["reproduce", ""], ["run", "--data-version", " "]])
def test_is_refused_before_anything_starts(call: list[str]) -> None:
    answer = CliRunner().invoke(build_app(), call)
    assert answer.exit_code == 2
    assert "it is empty" in answer.output
