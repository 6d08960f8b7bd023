"""A drawn head is found at any angle; what is no head, or has an impossible size, is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.drawn_heads import PIXEL_MM, drawn_bone, drawn_head

from expert.errors import RefusedError
from expert.imaging.head_outline import (
    HeadOutline,
    find_outline,
    fit_ellipse,
    frame_to_mm,
    head_frame,
)
from expert.imaging.volume import Volume, read_volume

NOISE = np.random.default_rng(0).integers(0, 256, (200, 300)).astype(np.uint8)
WHOLE = np.array([[1.0, 0, 0], [0, 1, 0]])


def test_an_ellipse_is_fitted_to_its_own_pixels():
    rows, columns = np.indices((96, 96)) - np.array([50.0, 40.0])[:, None, None]
    along, across = (columns + rows) / 2**0.5, (rows - columns) / 2**0.5
    mask = np.clip(0.5 + 20 * (1 - np.hypot(along / 30, across / 22)), 0, 1)
    found = fit_ellipse(mask, 2 * WHOLE, 100.0)
    assert found.center == pytest.approx((100, 80), abs=0.3)
    assert (found.semi_major, found.semi_minor) == pytest.approx((60, 44), rel=0.01)
    assert np.rad2deg(found.angle) == pytest.approx(45, abs=0.5)
    assert found.confidence > 0.98
    assert fit_ellipse(0 * mask, WHOLE, 100.0) is None


def test_the_circumference_of_a_circle():
    assert HeadOutline((0, 0), 10, 10, 0, 1).circumference == pytest.approx(20 * np.pi)


@pytest.mark.parametrize("angle", [-70.0, 0.0, 20.0, 85.0])
def test_a_drawn_head_is_found(angle):
    found = find_outline(drawn_head(angle))
    assert not found.refusal
    assert not found.doubt
    assert found.center == pytest.approx((140 * PIXEL_MM, 190 * PIXEL_MM), abs=1.5)
    assert found.semi_major == pytest.approx(105 * PIXEL_MM, rel=0.05)
    assert found.semi_minor == pytest.approx(0.79 * 105 * PIXEL_MM, rel=0.05)
    away = (np.rad2deg(found.angle) - angle + 90) % 180 - 90
    assert abs(away) < 5


def test_the_frame_is_upright():
    head = drawn_head(70.0)
    outline = find_outline(head)
    image, content, to_mm = head_frame(head, outline, (80, 112))
    assert image.shape == content.shape == (80, 112)
    assert np.allclose(to_mm @ [39.5, 55.5, 1], outline.center)
    along = to_mm[:, 1] / np.linalg.norm(to_mm[:, 1])
    assert np.allclose(along, [np.sin(outline.angle), np.cos(outline.angle)])
    assert np.allclose(frame_to_mm(outline, (80, 112), 0.8), to_mm)
    assert not image[0, 0]
    # The bright midline lies along the rows.
    middle = image[36:44, 30:82].mean()
    assert middle > image[24:32, 30:82].mean()


@pytest.mark.parametrize(
    "image",
    [
        drawn_bone(),
        Volume(NOISE, np.eye(4), "image"),
        Volume(np.zeros((120, 90), np.uint8), np.eye(4), "image"),
    ],
    ids=["bone", "noise", "black"],
)
def test_an_image_without_a_head_is_refused(image):
    found = find_outline(image)
    assert found.refusal.startswith("No fetal head was found")
    assert found.refusal.count(".") == 1


def test_an_mr_slice_is_refused(ixi):
    volume = read_volume(sorted((ixi / "T1").glob("*.nii.gz"))[3]).canonical()
    for plane in (volume.data[:, :, 60], volume.data[:, 60], volume.data[60]):
        assert find_outline(Volume(np.asarray(plane, np.float32), np.eye(4), "image")).refusal


@pytest.mark.parametrize("factor", [10.0, 0.25])
def test_an_impossible_size_is_said(factor):
    head = drawn_head()
    wrong = find_outline(replace(head, affine=np.diag([PIXEL_MM * factor] * 2 + [1, 1])))
    assert "pixel size" in wrong.refusal + wrong.doubt


def test_a_head_of_impossible_size_is_refused_unless_forced(fetal_model):
    from expert.inference import explain

    head = drawn_head()
    wrong = replace(head, affine=np.diag([10 * PIXEL_MM] * 2 + [1, 1]))
    with pytest.raises(RefusedError, match="impossible at 12 to 42 weeks"):
        explain(fetal_model, wrong, images=False)
    forced = explain(fetal_model, wrong, images=False, force=True)
    assert "circumference" in forced.forced
    assert forced.interval is None


def test_the_same_answer_at_any_rotation(fetal_model):
    from expert.inference import explain
    from studies.outline.measure import turned

    head = drawn_head()
    found = []
    for angle in (0, 50, 90, 180, 270):
        for mirrored in (False, True):
            found.append(explain(fetal_model, turned(head, angle, mirrored), images=False))
    answers = np.array([one.prediction for one in found])
    assert np.ptp(answers) < 0.3
    assert all(one.summary.startswith("Head circumference") for one in found)
    sizes = [one.head_size.circumference_mm for one in found]
    assert np.ptp(sizes) < 0.02 * np.mean(sizes)


def test_the_head_circumferences_of_real_images(hc18):
    import csv

    with (hc18 / "labels.csv").open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))[5::60]
    for row in rows:
        pixel = float(row["pixel_size_mm"])
        found = find_outline(read_volume(hc18 / row["file"], pixel_size_mm=pixel))
        assert found.circumference == pytest.approx(float(row["head_circumference_mm"]), rel=0.06)
        assert not found.refusal
