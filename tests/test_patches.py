"""Tests of `expert.patches`."""

from __future__ import annotations

import numpy as np

from expert.attribution import for_prediction
from expert.patches import box, chosen_patches, foreground, patch_at, patch_location_text, planes


def test_planes_of_a_volume(explanation):
    """A 3D view is drawn slice by slice, with the patches that the slice cuts."""
    view = explanation.views[0]
    volume = np.stack([np.zeros_like(view.image), view.image, view.image, view.image])
    affine = np.array([[0, 0, 1, -80], [0, 1, 0, -110], [2, 0, 0, -3], [0, 0, 0, 1]], dtype=float)
    deep = view.model_copy(update={"image": volume, "affine": affine})
    e = explanation.model_copy(update={"views": (deep,), "grid": (2, 3, 5)})
    shown = planes(e)
    assert [plane.slice for plane in shown] == [1, 2, 3]
    assert [plane.position_mm for plane in shown] == [-1, 1, 3]
    from expert.patches import box, patch_at, patch_location_text, patches_in_plane

    assert patches_in_plane(e, shown[0]).min() == 0
    assert patches_in_plane(e, shown[1]).min() == 15
    assert patch_location_text(e, 0, 29).endswith("S 2")
    for patch in (15, 29):
        assert patch_at(e, shown[1], tuple(box(e, patch).mean(axis=0))) == patch


def test_a_dark_patch_is_background_whatever_its_mass(explanation):
    view, patch = explanation.views[0], int(explanation.views[0].mass.argmax())
    assert foreground(explanation, 0)[patch]
    assert not foreground(explanation, 0)[view.mass < 0.4 / len(view.mass)].any()
    image = view.image.copy()
    image[tuple(slice(int(start), int(stop)) for start, stop in explanation.patch_box(patch))] = 5
    darkened = explanation.model_copy(update={"views": (view.model_copy(update={"image": image}),)})
    np.testing.assert_array_equal(
        foreground(darkened, 0), foreground(explanation, 0) & (np.arange(len(view.mass)) != patch)
    )


def test_background_is_not_numbered(explanation):
    for choice in ("contribution", "closest", "different", "all"):
        for patch in chosen_patches(explanation, planes(explanation)[2], choice):
            assert explanation.views[2].mass[patch] > 0.3 / len(explanation.views[2].mass)
    assert len(chosen_patches(explanation, planes(explanation)[2], "closest")) == 6


def test_the_patches_that_moved_the_prediction_most_are_numbered(explanation):
    e, plane = explanation, planes(explanation)[2]
    strength = np.where(foreground(e, 2), np.abs(for_prediction(e, 2)), 0)
    assert chosen_patches(e, plane, "contribution") == np.argsort(-strength)[:6].tolist()
    # Where nothing contributes, the most similar ones are.
    views = tuple(view.model_copy(update={"fallback": True}) for view in e.views)
    nearest = e.model_copy(update={"views": views, "fallback": True})
    assert chosen_patches(nearest, plane, "contribution") == chosen_patches(e, plane, "closest")


def test_boxes_lie_where_the_mouse_finds_them(explanation):
    plain = explanation.model_copy(update={"registration": None})
    for e in (explanation, plain):
        plane = planes(e)[0]
        for patch in range(len(e.views[0].mass)):
            corners = box(e, patch)
            assert patch_at(e, plane, tuple(corners.mean(axis=0))) == patch
            assert patch_at(e, plane, tuple(corners[0] + 0.6)) == patch
        assert patch_at(e, plane, (-5.0, 3.0)) is None


def test_heads_are_drawn_radiologically(explanation):
    view = explanation.views[0]
    last = len(view.mass) - 1  # the most anterior row, the rightmost column in (A, R)
    assert patch_location_text(explanation, 0, last).startswith("R ")
    assert " A " in patch_location_text(explanation, 0, last)
    corners = box(explanation, last)
    assert corners[:, 1].max() < view.image.shape[1] / 2  # the patient's right is drawn on the left
    assert corners[:, 0].max() < view.image.shape[0] / 2  # the front is drawn at the top


def test_places_of_a_fetal_head_have_names(fetal_model):
    from helpers.drawn_heads import drawn_head

    from expert.inference import explain

    found = explain(fetal_model, drawn_head(), top=1, images=False)
    names = [patch_location_text(found, 0, patch) for patch in range(35)]
    assert len(set(names)) == 35
    assert names[17] == "midline, centre"
    assert found.summary.startswith("Head circumference ")
    assert not found.views[0].image[0].any()
