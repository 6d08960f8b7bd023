"""Tests of `napari_expert.layer_geometry`."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from helpers.orientations import (
    FLIPS,
    ORDERS,
    apply,
    as_napari_nifti,
    bare,
    by_our_reader,
    numbered_volume,
    registered,
    registration,
    voxels_holding,
)
from napari.layers import Image

from expert.errors import InputError
from expert.imaging.native_space import patch_map
from expert.imaging.volume import Volume, read_volume
from napari_expert.layer_geometry import (
    AFFINE,
    find_source,
    layer_arguments,
    same_geometry,
    slice_letters,
    volume_from_layer,
)


def test_napari_nifti_itself(explanation, tmp_path):
    reader = pytest.importorskip("napari_nifti._reader", reason="napari-nifti is not installed")
    e = registered(explanation, registration())
    view, count = e.views[2], len(e.views[2].mass)
    cells = np.array(
        [[(a + b) / 2 - 0.5 for a, b in e.patch_box(patch)] for patch in range(count)]
    ).T
    world = apply(registration(), apply(view.affine, np.vstack([cells, np.zeros(count)])))
    for axes, flips, oblique in itertools.product(ORDERS, FLIPS, (False, True)):
        volume = numbered_volume(axes, flips, oblique)
        path = tmp_path / "head.nii.gz"
        nib.save(nib.Nifti1Image(volume.data, volume.affine), path)
        data, arguments, _ = reader.reader_function(str(path))[0]
        assert arguments["metadata"].keys() == as_napari_nifti(volume, tmp_path).metadata.keys()
        layer = Image(data, **arguments)
        found = volume_from_layer(layer)
        assert found.space == "ras"
        # Some of its arrays run I or P where their name says S or A; the affine that lies beside
        # them knows it.
        place = np.array(
            np.unravel_index(np.asarray(layer.data).ravel(), volume.shape), dtype=float
        )
        here = np.indices(layer.data.shape).reshape(3, -1).astype(float)
        np.testing.assert_allclose(
            apply(found.affine, here), apply(volume.affine, place), atol=1e-2
        )
        np.testing.assert_array_equal(
            patch_map(e, found)[voxels_holding(volume, layer, world)], np.arange(count) + 1
        )


BAD = [
    np.full((4, 4), np.nan),
    np.eye(3),
    np.zeros((4, 4)),
    np.ones((4, 4)),
    "text",
    None,
    [[1, 2], [3]],
    np.eye(5),
]


@pytest.mark.parametrize(
    "affine",
    BAD,
    ids=lambda value: str(np.shape(value)) if not isinstance(value, list) else "ragged",
)
@pytest.mark.parametrize("kind", ["ours", "napari-nifti"])
def test_an_affine_that_does_not_fit_is_not_trusted(affine, kind):
    others = dict.fromkeys(("spacing", "origin", "direction", "header", "coordinate_system"))
    metadata = {AFFINE: affine} if kind == "ours" else {"affine": affine, **others}
    volume = volume_from_layer(Image(np.zeros((4, 5, 6)), scale=(3, 2, 1), metadata=metadata))
    assert volume.space == "unknown"
    assert volume.spacing == (3, 2, 1)


def test_a_shrunk_copy_does_not_keep_the_old_voxel_size(head):
    data, arguments = layer_arguments(head)
    scale = 2 * np.array(arguments["scale"])
    volume = volume_from_layer(Image(data[::2, ::2, ::2], **{**arguments, "scale": scale}))
    assert volume.space == "unknown"
    np.testing.assert_allclose(volume.spacing, scale)


@pytest.mark.parametrize(
    ("arguments", "spacing", "known"),
    [
        ({}, (1, 1, 1), False),
        ({"scale": (2, 1, 1)}, (2, 1, 1), True),
        ({"units": ("mm", "mm", "mm")}, (1, 1, 1), True),
        ({"units": ("um", "um", "um"), "scale": (900, 500, 500)}, (0.9, 0.5, 0.5), True),
        ({"units": ("cm", "cm", "cm"), "scale": (-0.2, 0.1, 0.1)}, (2, 1, 1), True),
        ({"affine": np.diag([3.0, 1.0, 1.0, 1.0]), "rotate": (10, 20, 30)}, None, True),
    ],
)
def test_a_layer_without_an_affine_has_no_orientation(arguments, spacing, known):
    volume = volume_from_layer(Image(np.zeros((4, 5, 6)), **arguments))
    assert volume.space == "unknown"
    assert volume.spacing_known is known
    if spacing is not None:
        np.testing.assert_allclose(volume.spacing, spacing)


def test_what_was_assumed_goes_with_the_layer(head):
    volume = Volume(head.data, head.affine, "unknown", False, assumed=("a.",), doubts=("b.",))
    data, arguments = layer_arguments(volume)
    found = volume_from_layer(Image(data, **arguments))
    assert (found.assumed, found.doubts, found.spacing_known) == (("a.",), ("b.",), False)


def test_a_colour_image_has_the_grey_values_of_its_file(tmp_path):
    from PIL import Image as Picture

    colours = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    Picture.fromarray(colours).save(tmp_path / "a.png")
    expected = read_volume(tmp_path / "a.png").data
    np.testing.assert_array_equal(volume_from_layer(Image(colours, rgb=True)).data, expected)
    opaque = np.dstack([colours, np.full((20, 30), 255, np.uint8)])
    np.testing.assert_array_equal(volume_from_layer(Image(opaque, rgb=True)).data, expected)
    parts = volume_from_layer(Image(colours / 255, rgb=True)).data
    np.testing.assert_allclose(255 * parts, expected, atol=1)
    assert volume_from_layer(Image(colours, rgb=True), pixels=False).shape == (20, 30)
    with pytest.raises(InputError, match="colour volume"):
        volume_from_layer(Image(np.zeros((4, 5, 6, 3), np.uint8), rgb=True))


def test_a_layer_that_was_turned_has_no_orientation(head):
    data, arguments = layer_arguments(head)
    changed = np.clip(np.asarray(data, float) * 0.7 + 3, 5, 60)
    assert volume_from_layer(Image(changed, **arguments)).space == "ras"
    del arguments["axis_labels"]
    for order, flips in itertools.product(
        itertools.permutations(range(3)), [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)]
    ):
        turned = np.flip(data.transpose(order), flips)
        scale = np.array(arguments["scale"])[list(order)]
        layer = Image(turned, **{**arguments, "scale": scale})
        same = order == (0, 1, 2) and not flips
        assert volume_from_layer(layer).space == ("ras" if same else "unknown")


def test_a_scale_that_the_user_sets_holds(head):
    data, arguments = layer_arguments(head)
    layer = Image(data, **arguments)
    layer.scale = (1, 1, 1)
    volume = volume_from_layer(layer)
    assert volume.spacing == (1, 1, 1)
    assert volume.space == "unknown"


def test_a_file_without_orientation_stays_without(head):
    data, arguments = layer_arguments(Volume(head.data, head.affine, "unknown"))
    assert volume_from_layer(Image(data, **arguments)).space == "unknown"


@pytest.mark.parametrize("load", [by_our_reader, as_napari_nifti, bare])
def test_edges_are_lettered_by_the_affine(tmp_path, load):
    # Both readers draw heads the same way, though one mirrors its array with negative scales and
    # the other does not.
    volume = numbered_volume((2, 0, 1), (-1, 1, -1), True)
    layer = load(volume, tmp_path)
    found = volume_from_layer(layer)
    if load is bare:
        assert slice_letters(layer, found, (1, 2)) == {}
        return
    assert slice_letters(layer, found, (1, 2)) == {
        "left": "R",
        "right": "L",
        "top": "A",
        "bottom": "P",
    }
    turned = slice_letters(layer, found, (0, 2), ("up", "left"))
    top = "S" if load is by_our_reader else "I"  # napari-nifti's slices run downwards
    assert turned == {"left": "L", "right": "R", "top": top, "bottom": "I" if top == "S" else "S"}


def test_the_reader_keeps_the_affine_and_shows_radiologically(viewer, head, head_file):
    viewer.open(str(head_file), plugin="napari-expert")
    layer = viewer.layers[0]
    assert layer.data.ndim == 3
    again = volume_from_layer(layer)
    point = np.unravel_index(head.data.argmax(), head.shape)
    world = head.affine @ [*point, 1]
    index = np.linalg.inv(np.array(layer.metadata[AFFINE])) @ world
    assert layer.data[tuple(np.rint(index[:3]).astype(int))] == head.data.max()
    # World axes of the layer are S, P, L in mm: rows grow towards the back, columns towards the
    # patient's left.
    np.testing.assert_allclose(
        layer.data_to_world(index[:3]), [world[2], -world[1], -world[0]], atol=1e-3
    )
    assert again.space == "ras"


def test_values_that_are_not_finite_are_0_as_in_a_file(head, head_file, tmp_path):
    damaged = np.array(head.data, dtype=np.float32)
    damaged[:2], damaged[30, 30, 30], damaged[31, 30, 30] = np.nan, np.inf, -np.inf
    path = tmp_path / "damaged.nii.gz"
    nib.save(nib.Nifti1Image(damaged, head.affine), path)
    expected = read_volume(path)
    data, arguments = layer_arguments(Volume(damaged, head.affine))
    found = volume_from_layer(Image(data, **arguments))
    assert np.isfinite(found.data).all()
    assert found.fingerprint() == expected.fingerprint()
    assert np.isnan(data).any(), "the layer itself is not changed"
    with pytest.raises(InputError, match="no finite value"):
        volume_from_layer(Image(np.full((4, 5, 6), np.nan), contrast_limits=(0, 1)))


def test_a_layer_with_another_geometry_is_not_the_explained_one(head, explanation):
    data, arguments = layer_arguments(head)
    layer = Image(data, **arguments)
    before = volume_from_layer(layer, pixels=False)
    assert find_source(explanation, [layer], before) is layer
    layer.translate, layer.rotate = (1, 2, 3), (0, 0, 20)
    assert same_geometry(layer, before)
    layer.scale = (2, 2, 5)
    assert not same_geometry(layer, before)
    assert find_source(explanation, [layer], before) is None
    assert find_source(explanation, [layer]) is layer
