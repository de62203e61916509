from __future__ import annotations

import signal

import pytest
import typer

from flows.interruption import ended_in_a_sentence


@pytest.mark.parametrize(
    ("number", "code", "told"), [(signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Ended by SIGTERM.")]
)
def test_signal_ends_a_command_in_a_sentence_and_its_own_exit_code(
    number: signal.Signals, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(typer.Exit) as ended, ended_in_a_sentence("The same call goes on."):
        signal.raise_signal(number)
    assert ended.value.exit_code == code
    assert capsys.readouterr().err == f"{told} The same call goes on.\n"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_command_that_ends_by_itself_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ended_in_a_sentence("The same call goes on."):
        pass
    assert capsys.readouterr().err == ""
