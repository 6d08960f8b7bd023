"""Tests of `expert.cli.console`: errors are one sentence, and progress is silent without a
terminal."""

from __future__ import annotations

import pytest
import typer

from expert.cli.console import Pace, counter, one_sentence, progress
from expert.errors import Cancelled, InputError


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("There is no file x."), 1, "Error: There is no file x.\n"),
        (Cancelled(), 130, "Cancelled.\n"),
        (Cancelled("Cancelled: 3 rows."), 130, "Cancelled: 3 rows.\n"),
        (KeyboardInterrupt(), 130, "Cancelled.\n"),
    ],
)
def test_an_error_ends_the_command_with_a_sentence(error, code, message, capsys):
    @one_sentence
    def command():
        raise error

    with pytest.raises(typer.Exit) as caught:
        command()
    assert caught.value.exit_code == code
    assert capsys.readouterr().err == message


def test_errors_of_the_software_itself_are_not_hidden():
    @one_sentence
    def command():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_arguments_and_names_are_kept():
    seen = []

    @one_sentence
    def command(a: int, *, b: int) -> None:
        """Help."""
        seen.append((a, b))

    command(1, b=2)
    assert seen == [(1, 2)]
    assert (command.__name__, command.__doc__) == ("command", "Help.")


def test_progress_is_silent_where_there_is_no_terminal(capsys):
    with progress() as advance:
        for fraction in (0.0, 0.5, 1.0):
            advance("register", fraction)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip() == ""


def test_rate_and_time_left_are_those_of_this_run():
    pace = Pace(1000)
    assert pace.text(400, 10.0) == ""
    assert pace.text(401, 40.0) == ""  # the first one waits for the start
    assert pace.text(411, 70.0) == "20.0 per minute, 29 min left"
    assert pace.text(402, 100.0) == "1.0 per minute, 9 h 58 min left"
    assert pace.text(999, 638.0) == "60.0 per minute, 1 s left"


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys, monkeypatch):
    with counter(3) as count:
        count(0)
        count(1)
    assert capsys.readouterr().err.strip() == ""
    monkeypatch.setattr("expert.cli.console.REPORT_SECONDS", 0.0)
    with counter(4) as count:
        for done in range(4):
            count(done)
    assert "3 of 4, " in capsys.readouterr().err
