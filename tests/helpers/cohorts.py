"""Cohorts for tests, and the command that predicts them as a process of its own."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path


def copies(file: Path, folder: Path, number: int) -> list[Path]:
    """Links to one image under several names."""
    folder.mkdir(parents=True, exist_ok=True)
    out = [folder / f"head-{n:02}.nii.gz" for n in range(number)]
    for path in out:
        os.link(file, path)
    return out


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table of predictions."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def start_predict(*arguments: object) -> subprocess.Popen[str]:
    """`expert predict` in a process group of its own, as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "expert.cli", "predict", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_rows(path: Path, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until a table has some rows."""
    for _ in range(15_000):
        if path.exists() and path.read_bytes().count(b"\n") > number:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"{path} has no {number} rows after five minutes")
