"""Out-of-distribution images are flagged, with the reason; others are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.hand_made import FLAT, Pixels, network
from helpers.hand_made import cohort as arrays
from scipy import ndimage

from expert.comparison import compare_images, compare_views
from expert.datasets.phantom import phantom_with_truth
from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.table import Entry
from expert.errors import InputError
from expert.imaging.preprocessing import prepare
from expert.imaging.registration import Registration
from expert.model_file import Model, load_model
from expert.novelty import (
    INDICATORS,
    Novelty,
    Reference,
    calibrate,
    calibrate_indicators,
    expected_alarms,
    measure_novelty,
    ood_indicators,
    ood_score,
    out_of_distribution_text,
    score_indicators,
)


def prepared(model: Model, age: float, seed: int, change=lambda data: data):
    """A synthetic head with its true registration; `change` acts on the volume's voxels."""
    volume, truth = phantom_with_truth(age, seed)
    volume = replace(volume, data=change(volume.data.astype(np.float32)))
    return prepare(
        volume, model.info.input, registration=Registration.known(truth.template_to_subject)
    )


def cohort(model: Model, ages: np.ndarray, first_seed: int) -> CohortArrays:
    heads = [prepared(model, float(age), first_seed + n) for n, age in enumerate(ages)]
    count = len(heads)
    return CohortArrays(
        images=np.stack([head.images for head in heads]),
        content=np.stack([head.content for head in heads]),
        labels=np.asarray(ages, dtype=float),
        transforms=np.full((count, 4, 4), np.nan),
        quality=np.ones(count),
        positions_mm=model.info.input.positions_mm,
        entries=tuple(Entry(f"s{n}", "", Path(), 0.0, None, "") for n in range(count)),
    )


def cohort_indicators(net, reference, cohort: CohortArrays) -> list[dict[str, float]]:
    """The indicators of every row of a cohort; the planes are those of the model."""
    return [
        ood_indicators(
            reference,
            net.grid,
            images,
            content,
            float(quality),
            compare_images(net, images, content),
        )
        for images, content, quality in zip(
            cohort.images, cohort.content, cohort.quality, strict=True
        )
    ]


def fitted(net, training: CohortArrays, heldout: CohortArrays):
    planes = list(range(training.images.shape[1]))
    reference = Reference.of(training, planes, net.grid)
    return calibrate(reference, cohort_indicators(net, reference, heldout))


@pytest.fixture(scope="module")
def calibrated_model(one_plane) -> Model:
    """It, with the image statistics of 8 heads, calibrated on 20 others."""
    looked_at, kept = (
        cohort(one_plane, np.linspace(22, 83, 8), 500),
        cohort(one_plane, np.linspace(21, 84, 20), 600),
    )
    familiarity = fitted(one_plane.network, looked_at, kept)
    calibration = one_plane.info.calibration.model_copy(update={"familiarity": familiarity})
    return replace(one_plane, info=one_plane.info.model_copy(update={"calibration": calibration}))


def told(model: Model, head) -> str:
    result = compare_views(model, head.images, head.content)
    return out_of_distribution_text(model.info, head.images, head.content, 1.0, result)


def test_heads_like_those_known_are_left_alone(calibrated_model):
    flagged = [
        bool(told(calibrated_model, prepared(calibrated_model, age, 700 + n)))
        for n, age in enumerate(np.linspace(23, 82, 10))
    ]
    assert sum(flagged) <= 2


def half(data: np.ndarray) -> np.ndarray:
    out = data.copy()
    out[: len(out) // 2] = 0
    return out


def noise(data: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1000, data.shape).astype(np.float32)


STRANGE = {
    "noise": noise,
    "blurred": lambda data: ndimage.gaussian_filter(data, 3),
    "half cropped": half,
    "inverted": lambda data: data.max() - data,
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_heads_are_told_of(calibrated_model, name):
    message = told(calibrated_model, prepared(calibrated_model, 50, 800, STRANGE[name]))
    assert message.startswith("Unlike the training data: ")
    assert any(words in message for words in INDICATORS.values())


def drawings(number: int, seed: int) -> np.ndarray:
    """(number, 48, 40) uint8: the same shading, each with its own brightness and noise."""
    common = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, FLAT.shape), 5)
    common = 60 + 140 * (common - common.min()) / np.ptp(common)
    generator = np.random.default_rng(seed)
    gain = generator.normal(1, 0.03, (number, 1, 1))
    return np.clip(common * gain + generator.normal(0, 4, (number, *FLAT.shape)), 0, 255).astype(
        np.uint8
    )


MISPLACED = {
    "front to back": lambda image: image[::-1],
    "side to side": lambda image: image[:, ::-1],
    "turned by 90 degrees": lambda image: ndimage.rotate(image, 90, reshape=False, order=1),
    "cropped to a half": lambda image: image * (np.arange(len(image)) < 24)[:, None],
    "blurred": lambda image: ndimage.gaussian_filter(image.astype(float), 4),
    "noise": lambda image: np.random.default_rng(3).uniform(0, 255, image.shape),
    "black": np.zeros_like,
}


def test_drawings_in_the_wrong_place_are_told_of_and_others_hardly_ever():
    first = drawings(20, 1)
    net = network(FLAT, Pixels((6, 5)), first[:5], np.linspace(20, 80, 5), radius=100.0)
    familiarity = fitted(net, arrays(FLAT, first), arrays(FLAT, drawings(60, 2)))
    ordinary = cohort_indicators(net, familiarity, arrays(FLAT, drawings(60, 4)))
    assert np.mean([ood_score(familiarity, one)[0] > familiarity.limit for one in ordinary]) <= 0.1
    image = drawings(1, 5)[0]
    for name, change in MISPLACED.items():
        changed = np.ascontiguousarray(change(image)).astype(np.uint8)
        score, sign = ood_score(
            familiarity, cohort_indicators(net, familiarity, arrays(FLAT, changed[None]))[0]
        )
        assert score > familiarity.limit, name
        assert sign in INDICATORS


def test_an_empty_volume_is_refused_before(model):
    with pytest.raises(InputError, match="are constant"):
        prepared(model, 50, 800, np.zeros_like)


def test_a_failed_registration_is_a_sign_of_its_own(calibrated_model):
    head = prepared(calibrated_model, 50, 800)
    result = compare_views(calibrated_model, head.images, head.content)
    assert not out_of_distribution_text(
        calibrated_model.info, head.images, head.content, 1.0, result
    )
    assert not out_of_distribution_text(
        calibrated_model.info, head.images, head.content, float("nan"), result
    )
    assert INDICATORS["registration"] in out_of_distribution_text(
        calibrated_model.info, head.images, head.content, 0.0, result
    )


def test_the_limit_is_the_conformal_quantile(model):
    reference = Reference(np.zeros(32), *[np.zeros((1, 4)) for _ in range(4)])
    kept = [dict.fromkeys(INDICATORS, 0.0) | {"nearest_distance": float(n)} for n in range(100)]
    familiarity = calibrate(reference, kept)
    scores = [ood_score(familiarity, one) for one in kept]
    assert (
        3 <= sum(score > familiarity.limit for score, _ in scores) <= 6
    )  # the 96th of 100, up to the scales
    assert {name for score, name in scores if score > familiarity.limit} == {"nearest_distance"}
    with pytest.raises(InputError, match="held-out images"):
        calibrate(reference, [])


def test_models_of_before_know_the_nearest_distance_only(model):
    head = prepared(model, 50, 800, noise)
    result = compare_views(model, head.images, head.content)
    calibration = model.info.calibration.model_copy(update={"familiarity": None})
    before = model.info.model_copy(update={"calibration": calibration})
    assert not out_of_distribution_text(
        before, head.images, head.content, 0.0, replace(result, distances=result.distances * 0)
    )
    assert "nearest prototype" in out_of_distribution_text(
        before, head.images, head.content, 0.0, replace(result, distances=result.distances + 100)
    )


@pytest.mark.parametrize(
    ("score", "limit", "unlike", "strong"),
    [
        (1.0, 1.0, False, False),
        (1.1, 1.0, True, False),
        (3.0, 1.0, True, False),
        (3.1, 1.0, True, True),
        (-0.5, -0.4, False, False),  # a limit below 0
        (float("nan"), 1.0, True, True),
    ],
)
def test_three_times_the_limit_is_strongly_unlike(score, limit, unlike, strong):
    novelty = Novelty(score, limit, "It is unlike them.")
    assert (bool(novelty.text), novelty.strong) == (unlike, strong)


def test_the_score_of_a_head_and_its_limit(model):
    head = prepared(model, 50, 800)
    result = compare_views(model, head.images, head.content)
    found = measure_novelty(model.info, head.images, head.content, 1.0, result)
    familiarity = model.info.calibration.familiarity
    indicators = ood_indicators(
        familiarity, model.info.grid, head.images, head.content, 1.0, result
    )
    assert (found.score, found.limit) == (
        ood_score(familiarity, indicators)[0],
        familiarity.limit,
    )
    calibration = model.info.calibration.model_copy(update={"familiarity": None})
    before = model.info.model_copy(update={"calibration": calibration})
    found = measure_novelty(before, head.images, head.content, 1.0, result)
    assert (found.score, found.limit) == (
        result.nearest_distance,
        calibration.nearest_distance_limit,
    )
    bare = model.info.model_copy(update={"calibration": None})
    found = measure_novelty(bare, head.images, head.content, 1.0, result)
    assert (found.text, found.strong) == ("", False)


def test_every_shipped_model_carries_its_signs_and_bias():
    from expert.model_file import load_model, shipped_models

    for name in shipped_models():
        calibration = load_model(name).info.calibration
        assert set(calibration.familiarity.center) == set(INDICATORS), name
        assert calibration.bias is not None, name


def test_without_a_registration_its_sign_is_silent(calibrated_model):
    head = prepared(calibrated_model, 50, 800)
    result = compare_views(calibrated_model, head.images, head.content)
    found = ood_indicators(
        calibrated_model.info.calibration.familiarity,
        calibrated_model.info.grid,
        head.images,
        head.content,
        float("nan"),
        result,
    )
    assert found["registration"] == 0
    assert set(found) == set(INDICATORS)


def test_a_patch_s_distance_has_the_label_s_unit(calibrated_model):
    """Features ten times as large at a tenth of the scale are the same distances."""
    head = prepared(calibrated_model, 50, 800)
    result = compare_views(calibrated_model, head.images, head.content)
    other = replace(result, cost=10 * result.cost, scale=result.scale / 10)
    familiarity = calibrated_model.info.calibration.familiarity
    one, two = (
        ood_indicators(familiarity, calibrated_model.info.grid, head.images, head.content, 1.0, r)
        for r in (result, other)
    )
    assert two["patch_distance"] == pytest.approx(one["patch_distance"])
    assert one["patch_distance"] > 0
    assert ood_score(familiarity, two) == pytest.approx(ood_score(familiarity, one))


def test_trained_models_carry_it(tiny_model_file):
    familiarity = load_model(tiny_model_file).info.calibration.familiarity
    assert familiarity.images == 24
    assert len(familiarity.histogram) == 32
    assert set(familiarity.center) == set(INDICATORS)


def test_expected_alarms_are_the_quantile_s():
    assert expected_alarms(145) == pytest.approx(1 - 139 / 146)
    assert expected_alarms(10) == pytest.approx(1 / 11)  # too few for a twentieth
    assert all(expected_alarms(n) < 0.05 + 1e-9 for n in range(19, 400))
    # Further images of the same kind, with one sign that speaks: as many as the quantile says.
    generator, flagged = np.random.default_rng(5), []
    for _ in range(200):
        values = generator.normal(0, 1, 120)
        both = [dict.fromkeys(INDICATORS, 0.0) | {"brightness": float(v)} for v in values]
        center, spread, limit = calibrate_indicators(both[:60])
        flagged += [score_indicators(center, spread, one)[0] > limit for one in both[60:]]
    assert np.mean(flagged) == pytest.approx(expected_alarms(60), abs=0.015)
