"""Tests of `expert.imaging.scanner_simulation`."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.head_changes import TYPES, GreyValues, to_grid
from expert.imaging.scanner_simulation import (
    BELOW_TOP_MM,
    EFFECTS,
    NOISE,
    SHADING,
    apply_effect,
    simulate_scanner,
)
from expert.imaging.volume import Volume


def brain_center(head: Volume) -> np.ndarray:
    """World mm of the centre of what is brighter than half of white matter."""
    values = GreyValues(np.asarray(head.data, dtype=np.float32))
    weight = (values.data - values.low) > 0.5 * values.white
    center = ndimage.center_of_mass(weight)
    return (head.affine @ [*center, 1])[:3]


def test_a_seed_is_a_scanner(head):
    one, again, other = (simulate_scanner(head, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.data, again.data)
    assert np.array_equal(one.affine, again.affine)
    assert one.shape != other.shape or not np.array_equal(one.data, other.data)
    assert head.data.dtype == np.int16  # the head itself is left alone
    assert one.history[-1] == "simulated scanner"


def test_scanners_are_of_every_kind(head):
    scanned = [simulate_scanner(head, seed) for seed in range(24)]
    assert {volume.data.dtype.name for volume in scanned} == set(TYPES)
    assert any(max(volume.spacing) > 3 for volume in scanned)
    assert any(np.ptp(volume.spacing) < 1e-6 for volume in scanned)
    for volume in scanned:
        assert np.isfinite(volume.data).all()
        assert volume.data.min() < volume.data.max()
        # Moved by at most the shift and a turn about the middle of the image.
        assert np.linalg.norm(brain_center(volume) - brain_center(head)) < 45


def test_a_scanner_is_simulated_in_time(head):
    fine = to_grid(head, (1, 1, 1))
    for volume, limit in ((head, 1.0), (fine, 4.0)):
        start = time.process_time()
        for seed in range(3):
            simulate_scanner(volume, seed)
        assert (time.process_time() - start) / 3 < limit


@pytest.mark.parametrize("seed", range(4))
def test_contrast_keeps_the_order_of_grey_values(head, seed):
    changed = apply_effect(head, "contrast", seed)
    order = np.argsort(head.data, axis=None)
    rise = np.diff(changed.data.ravel()[order])
    assert rise.min() > -1e-3
    assert np.abs(changed.data - head.data).max() > 0.02 * np.ptp(head.data)


def test_shading_is_smooth_and_bounded(head):
    strongest = 0.0
    for seed in range(6):
        shaded = apply_effect(head, "bias field", seed)
        bright = head.data > 0.4 * head.data.max()
        ratio = shaded.data[bright] / head.data[bright]
        assert ratio.min() > 1 - SHADING - 0.05
        assert ratio.max() < 1 + SHADING + 0.05
        strongest = max(strongest, float(np.ptp(ratio)))
        whole = np.where(bright, shaded.data / np.maximum(head.data, 1), np.nan)
        steps = np.abs(np.diff(whole, axis=0))
        assert np.nanmax(steps) < 0.06
    assert strongest > 0.3


def test_noise_is_rician(head):
    flat = np.zeros((40, 40, 40), dtype=np.float32)
    flat[:, :, 20:] = 1000
    for seed in range(4):
        noisy = apply_effect(Volume(flat, np.eye(4)), "noise", seed).data
        spread = float(noisy[:, :, 20:].std())
        assert 0 < spread < 1.05 * NOISE * 1000
        # Of the magnitude of noise alone: the mean is 1.25 of sigma, and nothing is negative.
        assert noisy[:, :, :20].mean() == pytest.approx(np.sqrt(np.pi / 2) * spread, rel=0.05)
        assert noisy.min() >= 0


def test_the_grid_changes_and_the_head_stays(head):
    for name in ("voxel size", "grid rotation", "axis order"):
        for seed in range(3):
            changed = apply_effect(head, name, seed)
            assert not np.array_equal(changed.affine, head.affine) or changed.shape != head.shape
            assert np.allclose(brain_center(changed), brain_center(head), atol=2.0), name


def test_cropping_keeps_voxels_and_brain(head):
    small = apply_effect(head, "field of view", 1)
    first = np.rint(np.linalg.solve(head.affine, small.affine)[:3, 3]).astype(int)
    where = tuple(slice(a, a + n) for a, n in zip(first, small.shape, strict=True))
    assert np.array_equal(small.data, head.data[where])
    assert small.data.size < head.data.size
    data = np.zeros((60, 60, 150), dtype=np.int16)  # 2 mm: a "head" of 300 mm from top to bottom
    data[15:45, 10:50, :140] = 500
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = 7, -8, 9
    cut = set()
    for flip in (False, True):
        tall = Volume(data[:, :, ::-1] if flip else data, affine.copy())
        if flip:
            tall.affine[2] *= -1
        for seed in range(6):
            small = apply_effect(tall, "field of view", seed).canonical()
            bright = np.argwhere(small.data > 250)
            whole = np.argwhere(tall.canonical().data > 250)
            place = bright @ small.affine[:3, :3].T + small.affine[:3, 3]
            before = whole @ tall.canonical().affine[:3, :3].T + tall.canonical().affine[:3, 3]
            assert np.allclose(place.max(axis=0), before.max(axis=0))
            assert np.allclose(place.min(axis=0)[:2], before.min(axis=0)[:2])
            assert np.ptp(place[:, 2]) >= BELOW_TOP_MM
            cut.add(round(float(np.ptp(place[:, 2]))))
    assert len(cut) > 3
    assert min(cut) < 260


def test_the_head_moves_without_a_change_of_voxels(head):
    moved = apply_effect(head, "head position", 1)
    assert np.array_equal(moved.data, head.data)
    change = moved.affine @ np.linalg.inv(head.affine)
    assert np.allclose(change[:3, :3] @ change[:3, :3].T, np.eye(3))
    assert not np.allclose(change[:3, :3], np.eye(3), atol=0.01)


def test_data_types_have_scales_of_their_own(head):
    stored = [apply_effect(head, "data type", seed).data for seed in range(20)]
    assert {data.dtype.name for data in stored} == set(TYPES)
    assert len({round(float(data.max()), 2) for data in stored}) > 10
    assert any(data.min() < 0 for data in stored)
    bright = head.data > 0.3 * head.data.max()
    for data in stored:
        assert np.corrcoef(data[bright], head.data[bright])[0, 1] > 0.98


def test_plain_images_have_no_scanner():
    image = Volume(np.arange(64.0).reshape(8, 8), np.eye(4), "image")
    with pytest.raises(InputError, match="3D heads"):
        simulate_scanner(image, 0)
    for name in EFFECTS:
        with pytest.raises(InputError, match="3D heads"):
            apply_effect(image, name, 0)
