"""Fixtures of the tests of DICOM."""

from __future__ import annotations

import pytest
from helpers.dicom_files import write

from expert.imaging.dicom.headers import frames_of, read_file


@pytest.fixture
def frames(tmp_path):
    """A function that writes files, and returns the frames in them."""

    def of(files):
        folder = write(tmp_path / f"{len(list(tmp_path.iterdir()))}", files)
        found = [read_file(path, path.name) for path in sorted(folder.iterdir())]
        return [frame for file in found for frame in frames_of(file)]

    return of
