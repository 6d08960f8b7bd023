"""A small label map of a head, as SynthSeg writes them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from studies.heads.label_maps import Source, painted_source


@pytest.fixture(scope="session")
def label_map(tmp_path_factory) -> Path:
    """A ball of white matter, cortex and fluid in a round head, 1 mm, axes L-I-A."""
    index = np.indices((180, 180, 180)).reshape(3, -1)
    radius = np.linalg.norm(index - 90.0, axis=0).reshape(180, 180, 180)
    labels = np.zeros((180, 180, 180), np.float32)
    for limit, label in ((85, 516), (75, 24), (70, 3), (60, 2), (15, 4)):
        labels[radius < limit] = label
    affine = np.array([[-1.0, 0, 0, 90], [0, 0, 1, -108], [0, -1, 0, 100], [0, 0, 0, 1]])
    path = tmp_path_factory.mktemp("labels") / "training_seg_01.nii.gz"
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


@pytest.fixture(scope="session")
def source(label_map) -> Source:
    return painted_source(label_map, np.diag([0.9, 0.9, 0.9, 1.0]))
