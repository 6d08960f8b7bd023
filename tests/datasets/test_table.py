"""Tests of `expert.datasets.table`."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("T1/a.nii.gz", "T1/a.nii.gz"),
        ("a.png", "a.png"),
        ("../../home/someone/a.png", "a.png"),
        ("/home/someone/a.png", "a.png"),
        (r"C:\Users\someone\a.png", "a.png"),
        (r"T1\a.nii.gz", "T1/a.nii.gz"),
    ],
)
def test_a_model_tells_no_way_to_a_file_outside_its_data_set(name, told):
    from expert.datasets.table import Entry

    entry = Entry(
        subject="s", name=name, file=Path(name), label=1.0, pixel_size_mm=None, sha256="0" * 64
    )
    assert entry.public_name == told
