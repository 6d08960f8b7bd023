"""The study of head outlines, with very few steps."""

from __future__ import annotations

import csv

import pytest

from studies.outline.study import hadlock, run_study


def test_weeks_grow_with_the_head():
    assert hadlock(5.6) == pytest.approx(12.0, abs=0.1)
    assert hadlock(35.7) == pytest.approx(41.9, abs=0.1)


@pytest.mark.slow
def test_the_study_writes_a_page(hc18, tmp_path):
    data = tmp_path / "data"
    (data / "hc18").mkdir(parents=True)
    (data / "ixi" / "T1").mkdir(parents=True)
    (data / "hc18" / "images").symlink_to(hc18 / "images")
    for name in ("labels.csv", "ellipses.csv"):
        with (hc18 / name).open(encoding="utf-8") as source:
            rows = list(csv.reader(source))[:21]
        with (data / "hc18" / name).open("w", newline="", encoding="utf-8") as target:
            csv.writer(target).writerows(rows)
    page = run_study(data, tmp_path / "run", steps=1, seed=1)
    assert "Dice coefficient" in page.read_text(encoding="utf-8")
    assert (tmp_path / "run" / "outline_network.safetensors").stat().st_size < 1_000_000
