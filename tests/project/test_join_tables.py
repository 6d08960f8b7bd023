"""Tests of `tools/join_tables.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from expert.datasets.table import read_table
from tools import join_tables


def test_tables_of_two_sites_become_one(tmp_path):
    for site, age in (("north", 30), ("south", 40)):
        folder = tmp_path / site / "T1"
        folder.mkdir(parents=True)
        (folder / "a.nii.gz").write_bytes(site.encode())
        (tmp_path / site / "labels.csv").write_text(
            f"subject,file,age_years,sex\nsub-1,T1/a.nii.gz,{age},F\n", encoding="utf-8-sig"
        )
    target = tmp_path / "joined" / "heads.csv"
    sources = [f"{site}={tmp_path / site / 'labels.csv'}" for site in ("north", "south")]
    done = subprocess.run(
        [sys.executable, join_tables.__file__, str(target), *sources],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == f"{target}: 2 heads"
    north, south = read_table(target)
    assert (north.site, south.site) == ("north", "south")
    assert north.subject != south.subject  # both tables have a sub-1
    assert (north.label, south.label) == (30, 40)
    assert north.file.read_bytes() == b"north"
    assert north.reference == south.reference == "T1/a.nii.gz"


def test_without_tables_it_says_how_it_is_called():
    done = subprocess.run(
        [sys.executable, join_tables.__file__, "heads.csv"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "join_tables.py heads.csv" in done.stderr
    assert not Path("heads.csv").exists()
