"""Killed work; `python tools/measure_reliability.py interrupted` repeats it 20 times."""

from __future__ import annotations

import sys

import pytest
from reliability import interruptions

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills and limits of POSIX")


def test_files_are_whole_after_a_kill(tmp_path):
    found = interruptions.saving(tmp_path, 2)
    assert found.times == 2
    assert not found.problems


def test_a_killed_download_goes_on(tmp_path):
    found = interruptions.downloads(tmp_path, 2)
    assert found.times == 2
    assert not found.problems


@pytest.mark.slow
def test_a_full_disk_is_one_sentence(tmp_path):
    for found in interruptions.full_disk(tmp_path):
        assert not found.problems, found


@pytest.mark.slow
def test_a_killed_training_and_a_killed_cohort_continue(tmp_path):
    for work in ("training", "cohort"):
        (tmp_path / work).mkdir()
        found = getattr(interruptions, work)(tmp_path / work, 2)
        assert found.times == 2
        assert not found.problems


@pytest.mark.slow
def test_ctrl_c_ends_every_command_with_one_sentence(head_file, tmp_path):
    for found in interruptions.cancelled(tmp_path, 1, head_file):
        slow = [one for one in found.problems if "longer" in one]  # measured, not tested
        assert len(found.problems) == len(slow), found


def test_half_files_are_noticed(tmp_path):
    for name in ("e.json", "m.safetensors", "r.html", "r.pdf", "p.csv"):
        (tmp_path / name).write_bytes(b"half")
    assert len(interruptions.unreadable(tmp_path)) == 5
