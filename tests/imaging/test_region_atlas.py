"""Tests of `expert.imaging.region_atlas`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.imaging.region_atlas import base_name, load_atlas, patch_regions
from expert.imaging.template import load_template

SHAPE, GRID = (80, 96, 80), (10, 12, 10)


def axes_sar(spacing=2.0, center=(3.0, -17.0, 0.0), shape=SHAPE):
    """The affine of a 3D view: axes (S, A, R) to template RAS mm."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, row in enumerate((2, 1, 0)):
        affine[row, axis] = spacing
        affine[row, 3] = center[axis] - spacing * (shape[axis] - 1) / 2
    return affine


def patch_of(affine, point, shape=SHAPE, grid=GRID):
    index = np.linalg.inv(affine) @ [*point, 1]
    return int(
        np.ravel_multi_index(
            [round(i) * g // s for i, s, g in zip(index, shape, grid, strict=False)], grid
        )
    )


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ((12, -30, 8), "right thalamus"),
        ((-12, -20, 8), "left thalamus"),
        ((0, -25, -30), "brain stem"),
        ((40, -65, -35), "right cerebellar cortex"),
        ((-26, -60, 45), "left parietal white matter"),
        ((40, 40, 20), "right frontal cortex"),
    ],
)
def test_known_places_have_the_name_of_the_textbook(point, name):
    affine = axes_sar()
    assert name in patch_regions(affine, SHAPE, GRID).of(patch_of(affine, point))


def test_ventricles_are_where_they_are_in_every_brain():
    affine = axes_sar()
    regions = patch_regions(affine, SHAPE, GRID)
    names = list(regions.names)
    right, left = names.index("right lateral ventricle"), names.index("left lateral ventricle")
    for side, sign in ((right, 1), (left, -1)):
        patch = int(regions.fractions[:, side].argmax())
        index = (np.array(np.unravel_index(patch, GRID)) + 0.5) * 8 - 0.5
        mm = affine @ [*index, 1]
        assert sign * mm[0] > 0
        assert abs(mm[0]) < 25
        assert 0 < mm[2] < 35


def test_patches_outside_the_brain_have_no_name_and_others_few():
    regions = patch_regions(axes_sar(), SHAPE, GRID)
    assert regions.of(0) == ()
    counts = [len(regions.of(patch)) for patch in range(1200)]
    assert max(counts) == 3
    assert 600 < sum(count > 0 for count in counts) < 900
    assert (regions.fractions.sum(axis=1) <= 1 + 1e-9).all()


def test_a_plane_has_the_regions_of_its_height():
    shape, grid = (192, 160), (6, 5)
    affine = np.zeros((4, 4))
    affine[1, 0] = affine[0, 1] = affine[2, 2] = affine[3, 3] = 1
    affine[:3, 3] = (-79.5, -112.5, 7)
    regions = patch_regions(affine, shape, grid)
    named = {name for patch in range(30) for name in regions.of(patch)}
    assert {"right frontal cortex", "left occipital cortex"} <= named
    assert not any("cerebell" in name for name in named)


def test_the_atlas_fills_the_template_brain():
    atlas, names = load_atlas()
    mask = load_template("mask").data > 0
    assert ((atlas.data > 0) & mask).sum() > 0.85 * mask.sum()
    assert int(atlas.data.max()) == len(names)
    assert len(names) == len(set(names))
    white = load_template("wm").data / 255
    for n, name in enumerate(names, 1):
        if name.endswith("white matter") or name == "corpus callosum":
            assert white[atlas.data == n].mean() > 0.4, name


def test_sides_are_taken_off_names():
    assert base_name("left lateral ventricle") == ("left", "lateral ventricle")
    assert base_name("brain stem") == ("", "brain stem")
