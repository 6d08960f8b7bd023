"""Tests of `expert.datasets.worker_processes`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.processes import group_is_gone

from expert.datasets.worker_processes import in_processes

PROGRAM = """
import operator, os, time
from expert.datasets.worker_processes import in_processes
if __name__ == "__main__":
    calls = [(0.0,), (60.0,), (60.0,), (60.0,)]
    with in_processes(time.sleep, calls, 2) as finished:
        for n, future in finished:
            print(n, flush=True)
"""


def running(folder: Path) -> subprocess.Popen:
    """A program with two processes that sleep."""
    path = folder / "program.py"
    path.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "0\n"
    return process


def with_an_error(calls: list[tuple]) -> None:
    with in_processes(time.sleep, calls, 2) as finished:
        next(finished)
        raise ValueError("the block")


def test_results_have_the_index_of_their_call():
    with in_processes(pow, [(n, 2) for n in range(5)], 2) as finished:
        assert {n: future.result() for n, future in finished} == {n: n * n for n in range(5)}


def test_no_calls_need_no_process():
    with in_processes(pow, [], 2) as finished:
        assert list(finished) == []


def test_an_error_in_the_block_does_not_wait_for_the_other_calls():
    began = time.monotonic()
    with pytest.raises(ValueError, match="the block"):
        with_an_error([(0.0,), (60.0,), (60.0,)])
    assert time.monotonic() - began < 30


def test_ctrl_c_ends_all_processes_and_they_print_nothing(tmp_path):
    process = running(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=30)
    assert errors.count("Traceback") == 1  # of the program itself
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert group_is_gone(process.pid)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    process = running(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert group_is_gone(process.pid)
