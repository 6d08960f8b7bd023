"""Tests of `expert.cli.interruption`: after Ctrl-C every command ends in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from expert.cli.interruption import PATIENCE_SECONDS, interruptible
from expert.errors import Cancelled

FULL = Path("/dev/full")
CTRL_C = "import os, signal, time; press = lambda: os.kill(os.getpid(), signal.SIGINT)\n"


def ended(code: str) -> tuple[int, str, float]:
    """Exit code, errors and seconds after Ctrl-C of a program that calls ``press()``."""
    code = f"{CTRL_C}{code}"
    code = code.replace("press()", "(print(time.time(), flush=True), press())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    seconds = time.time() - float(done.stdout.split()[0])
    return done.returncode, done.stderr, seconds


def test_ctrl_c_is_raised_where_the_work_looks_and_only_within_the_block():
    former = signal.getsignal(signal.SIGINT)
    with interruptible() as interruption:
        interruption.message = "Cancelled: 3 rows."
        interruption.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Cancelled, match="3 rows"):
            interruption.check()
    assert signal.getsignal(signal.SIGINT) is former


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


def test_work_that_does_not_look_ends_with_its_sentence():
    code, errors, seconds = ended(
        "from expert.cli.interruption import interruptible\n"
        "with interruptible() as interruption:\n"
        "    interruption.message = 'Cancelled: 3 rows.'\n"
        "    press()\n"
        "    for _ in range(600): time.sleep(0.1)"
    )
    assert (code, errors) == (130, "Cancelled: 3 rows.\n")
    assert seconds > PATIENCE_SECONDS


@pytest.mark.parametrize(
    "work",
    [
        # A library that loses the exception.
        "try: press()\nexcept BaseException: pass\ntime.sleep(60)",
        # A compiled function that does not return for minutes.
        "import hashlib, threading\n"
        "threading.Timer(0.2, lambda: press()).start()\n"
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)",
        # Python prints exceptions of destructors, and goes on.
        "class A:\n    def __del__(self): press(); time.sleep(0.01)\nA()\ntime.sleep(60)",
        # Ctrl-C for a second time.
        "try: press()\nexcept BaseException: time.sleep(0.1)\npress()\ntime.sleep(60)",
    ],
    ids=["lost", "compiled", "destructor", "twice"],
)
def test_a_program_that_is_watched_ends(work):
    code, errors, seconds = ended(f"from expert.cli.interruption import watch\nwatch()\n{work}")
    assert (code, errors) == (130, "Cancelled.\n")
    assert seconds < 20


@pytest.mark.parametrize("module", ["typer", "expert.cli.main", "expert.schema"])
def test_ctrl_c_during_the_imports_of_the_command_ends_it_with_one_sentence(module):
    code, errors, _ = ended(
        "import importlib.abc, sys\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: press()\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['expert', 'info']\n"
        "from expert.cli.__main__ import main\n"
        "main()"
    )
    assert (code, errors) == (130, "Cancelled.\n")


def test_a_reader_that_leaves_gets_no_message():
    process = subprocess.Popen(
        [sys.executable, "-m", "expert.cli", "info", "phantom", "--privacy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


@pytest.mark.skipif(not FULL.exists(), reason="only on Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_an_error(unbuffered):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "expert.cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_of_the_command_are_not_taken_for_ctrl_c():
    done = subprocess.run(
        [sys.executable, "-m", "expert.cli", "info", "nothing.safetensors"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
