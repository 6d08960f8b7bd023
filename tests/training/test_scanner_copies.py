"""Copies of training heads under simulated scanners: prepared once, different, and reused."""

from __future__ import annotations

import numpy as np
import pytest

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.errors import InputError
from expert.schema import InputSettings
from expert.training.scanner_copies import (
    prepare_scanner_copies,
    scanner_copies,
    scanner_copies_file,
)

SETTINGS = InputSettings(
    shape=(40, 48, 40), spacing_mm=4.0, center_mm=(3.0, -17.0, 0.0), intensity="tissue"
)


@pytest.fixture(scope="module")
def cohort(head_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scanners")
    (folder / "labels.csv").write_text(f"file,age\n{head_file},72\n")
    return load_cohort(read_table(folder / "labels.csv"), SETTINGS, folder / "prepared", jobs=1)


def test_copies_differ_and_are_kept(cohort):
    entry, folder = cohort.entries[0], cohort.folder
    with pytest.raises(InputError, match="missing"):
        scanner_copies(entry, SETTINGS, 2, folder)
    shown: list[float] = []
    prepare_scanner_copies(cohort, SETTINGS, 2, jobs=1, progress=lambda _, f: shown.append(f))
    images, content = scanner_copies(entry, SETTINGS, 2, folder)
    assert images.shape == content.shape == (2, *cohort.images.shape[1:])
    assert shown == [1.0]
    assert (images[0] != images[1]).mean() > 0.01
    # The same head in the same place: its tissues agree.
    inside = (cohort.content[0] == 255) & (content[0] == 255)
    assert inside.mean() > 0.1
    assert np.corrcoef(images[0][inside], cohort.images[0][inside])[0, 1] > 0.7
    written = scanner_copies_file(entry, SETTINGS, 2, folder).stat().st_mtime_ns
    prepare_scanner_copies(cohort, SETTINGS, 2, jobs=1)
    assert scanner_copies_file(entry, SETTINGS, 2, folder).stat().st_mtime_ns == written
