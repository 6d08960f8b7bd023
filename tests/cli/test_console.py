"""Tests of `expert.cli.console`: errors are one sentence, and progress is silent without a
terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
import typer

from expert.cli.console import Pace, counter, interruptible, one_sentence, progress
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


def test_ctrl_c_is_raised_where_the_work_looks_and_only_within_the_block():
    former = signal.getsignal(signal.SIGINT)
    with interruptible() as interruption:
        interruption.message = "Cancelled: 3 rows."
        interruption.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Cancelled, match="3 rows"):
            interruption.check()
    assert signal.getsignal(signal.SIGINT) is former


def test_ctrl_c_ends_work_that_does_not_look():
    code = (
        "import os, signal, time; from expert.cli.console import interruptible\n"
        "with interruptible() as interruption:\n"
        "    interruption.message = 'Cancelled: 3 rows.'\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    for _ in range(600): time.sleep(0.1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.returncode == 130
    assert done.stderr == "Cancelled: 3 rows.\n"


def test_a_background_job_that_ignores_ctrl_c_keeps_ignoring_it():
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            interruption.check()
    finally:
        signal.signal(signal.SIGINT, former)


def test_another_thread_does_without_signals():
    seen = []

    def work() -> None:
        with interruptible() as interruption:
            interruption.check()
            seen.append(interruption.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


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
