"""A registration is refined to the same place from any start."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from expert.imaging.average_brain import average_brain
from expert.imaging.preprocessing import prepare, view_affine
from expert.imaging.refinement import refine
from expert.imaging.registration import Registration, distance_mm
from expert.schema import InputSettings

SETTINGS = InputSettings(
    intensity="tissue", shape=(80, 96, 80), spacing_mm=2.0, center_mm=(3.0, -17.0, 0.0)
)


def moved(shift: float, angle: float, scale: float) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = scale * Rotation.from_rotvec([angle, -angle / 2, angle / 3]).as_matrix()
    out[:3, 3] = shift * np.array([1, -0.5, 0.7])
    return out


def sampler(truth: np.ndarray, factor: float = 1.0):
    """The average brain as the head of a subject, `truth` from template mm to the subject's."""
    data = ndimage.gaussian_filter(average_brain(SETTINGS) / 200.0, 1.0)
    to_index = np.linalg.inv(truth @ view_affine(SETTINGS, None))

    def sample(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        full = to_index @ matrix
        return factor * ndimage.map_coordinates(data, full[:3, :3] @ points + full[:3, 3:], order=1)

    return sample


@pytest.mark.parametrize("start", [(0, 0, 1), (3, 0.05, 1.03), (-4, -0.06, 0.95)])
@pytest.mark.parametrize("factor", [1.0, 0.85])
def test_the_true_place_is_found_from_any_start(start, factor):
    truth = moved(5, 0.1, 0.9)
    found = refine(truth @ moved(*start), sampler(truth, factor))
    assert distance_mm(found, truth) < 0.1


def test_a_refinement_that_fails_changes_nothing():
    start = moved(2, 0, 1)
    noise = np.random.default_rng(0)
    for sample in (
        lambda points, matrix: np.full(points.shape[1], np.nan),
        lambda points, matrix: 1e3 * noise.standard_normal(points.shape[1]),
    ):
        np.testing.assert_array_equal(refine(start, sample), start)


def test_a_head_is_prepared_at_the_refined_place(registered_head):
    head, _, registration = registered_head
    settings = SETTINGS.model_copy(update={"blur_mm": 2.0, "refined": True})
    places = []
    for start in (
        registration,
        registration.moved(registration.template_to_subject @ moved(1, 0.01, 1.01)),
    ):
        found = prepare(head, settings, registration=start).registration
        assert found is not None
        assert found.acceptable
        assert found.determinant == pytest.approx(np.linalg.det(found.template_to_subject[:3, :3]))
        places.append(found.template_to_subject)
    assert distance_mm(*places) < 0.2
    assert distance_mm(places[0], registration.template_to_subject) > 0.2
    unrefined = prepare(head, SETTINGS, registration=registration).registration
    assert unrefined is registration
    known = Registration.known(registration.template_to_subject)
    assert known.moved(places[0]).quality == 1
