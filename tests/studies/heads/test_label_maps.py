"""Label maps become fractions of tissue groups; the brain includes the fluid in its folds."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from studies.heads.label_maps import GROUPS, closed_brain, load_sources


def test_fractions(source):
    assert source.maps.shape[0] == len(GROUPS)
    total = source.maps.astype(float).sum(axis=0)
    assert total.max() < 1.01
    white = list(GROUPS).index("white")
    volume = source.maps[white].astype(float).sum() * 27
    assert volume == pytest.approx(4 / 3 * np.pi * (60**3 - 15**3), rel=0.02)
    middle = source.affine @ [*np.argwhere(source.maps[white] > 0.5).mean(axis=0), 1]
    np.testing.assert_allclose(middle[:3], [0, -18, 10], atol=1)


def test_the_brain_is_closed(source):
    volume = source.mask.astype(float).sum() * 27
    assert volume == pytest.approx(4 / 3 * np.pi * 70**3, rel=0.03)
    brain = np.zeros((30, 30, 30), bool)
    brain[5:25, 5:25, 5:25] = True
    fold = brain.copy()
    fold[14:16, 5:20, :] = False
    assert (closed_brain(fold, 10.0, 2.0) & brain).sum() > 0.98 * brain.sum()
    assert not closed_brain(np.zeros((9, 9, 9), bool), 10.0, 2.0).any()


def test_maps_are_kept(label_map, tmp_path):
    (tmp_path / "synthseg_labels").mkdir()
    shutil.copy(label_map, tmp_path / "synthseg_labels")
    affines = json.loads(json.dumps({label_map.name: np.eye(4).tolist(), "other": []}))
    first = load_sources(tmp_path, affines, tmp_path / "cache")
    written = [path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()]
    again = load_sources(tmp_path, affines, tmp_path / "cache")
    assert [path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()] == written
    np.testing.assert_array_equal(first[0].maps, again[0].maps)
    assert not first[0].real
