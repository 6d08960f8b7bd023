"""Tests of `expert.notices`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.refusals import failed, registered_head

import expert
from expert import notices
from expert.comparison import compare_views
from expert.imaging.preprocessing import prepare
from expert.imaging.volume import Volume
from expert.inference import explain


@pytest.fixture(scope="module")
def case(model):
    """A head of 72 years with its true registration; the nearest distance decides whether it is
    out of distribution."""
    volume, registration = registered_head(72, 5)
    calibration = model.info.calibration.model_copy(update={"familiarity": None})
    plain = replace(model, info=model.info.model_copy(update={"calibration": calibration}))
    prepared = prepare(volume, model.info.input, registration=registration)
    result = compare_views(model, prepared.images, prepared.content)
    return notices.Case(plain, volume, prepared, result, ())


def calibrated(case: notices.Case, times: float, wide: float | None) -> notices.Case:
    """The nearest distance is so many times the limit."""
    limit = case.result.nearest_distance / times
    calibration = case.model.info.calibration.model_copy(
        update={"nearest_distance_limit": limit, "shifted_half_width": wide}
    )
    info = case.model.info.model_copy(update={"calibration": calibration})
    return replace(case, model=replace(case.model, info=info))


def test_orientation_unknown_is_said(model, head):
    bare = Volume(head.data, head.affine, "unknown")
    codes = {notice.code for notice in expert.explain(model, bare, top=1).warnings}
    assert "orientation_unknown" in codes


def test_what_the_reader_assumed_and_doubts_is_said(case):
    volume = replace(case.volume, assumed=("One.", "Two."), doubts=("Three.",))
    found = {
        notice.code: notice for notice in notices.collect_notices(replace(case, volume=volume))
    }
    assert found["reading_assumed"].text == "Note: One. Two."
    assert found["reading_doubtful"].text == "Warning: Three."
    plain = {notice.code for notice in notices.collect_notices(case)}
    assert not plain & {"reading_assumed", "reading_doubtful"}


def test_half_a_head_is_said_to_be_half(model, head, explanation):
    assert "brain_incomplete" not in {notice.code for notice in explanation.warnings}
    below = np.array(head.data, dtype=np.float32)
    heights = (
        head.affine[2, :3] @ np.indices(head.shape).reshape(3, -1) + head.affine[2, 3]
    ).reshape(head.shape)
    below[heights < np.median(heights)] = 0
    told = {
        notice.code: notice.message
        for notice in expert.explain(model, Volume(below, head.affine), top=1, force=True).warnings
    }
    assert "of the brain is black or outside the image" in told["brain_incomplete"]


def test_a_brain_extracted_too_tightly_is_said_to_be(case):
    found = notices.collect_notices(replace(case, prepared=replace(case.prepared, exposed=0.37)))
    [message] = [one.message for one in found if one.code == "extracted_tightly"]
    assert message.startswith("The brain was extracted too tightly: 37% of its surface is grey")
    assert "extracted_tightly" not in {one.code for one in notices.collect_notices(case)}


def test_an_image_that_is_itself_a_prototype_is_told_to_be(tiny_model_file, squares):
    model = expert.load_model(tiny_model_file)
    told = {
        path.name: [
            notice
            for notice in expert.explain(model, expert.read_volume(path)).warnings
            if notice.code == "training_image"
        ]
        for path in sorted(squares.parent.glob("*.png"))
    }
    # Six prototypes show six of the twenty-four images.
    assert sum(bool(notices) for notices in told.values()) == 6
    assert all(
        "is the training image of prototype #1" in notices[0].message
        for notices in told.values()
        if notices
    )


def test_a_warning_is_one_function_in_the_list(model, head, monkeypatch):
    def dark_image(case: notices.Case) -> str:
        return "The image is dark." if case.volume.data.mean() < np.inf else ""

    def bright_image(case: notices.Case) -> str:
        return ""

    more = {dark_image: "note", bright_image: "warning"}
    monkeypatch.setattr(notices, "CHECKS", {**notices.CHECKS, **more})
    last = expert.explain(model, head, top=1).warnings[-1]
    assert (last.code, last.message) == ("dark_image", "The image is dark.")
    assert last.severity == "note"


@pytest.mark.parametrize(
    ("times", "wide", "factor"),
    [
        (0.9, None, 1),  # like the training images
        (0.9, 3, 1),
        (1.1, None, 1),  # unlike, and an old model
        (1.1, 3, 3),
        (1.1, 0.5, 1),  # never narrower
        (2.9, None, 1),
        (3.1, None, None),  # strongly unlike
        (3.1, 3, 3),
    ],
)
def test_the_interval_under_shift(case, times, wide, factor):
    half = case.model.info.calibration.half_width
    shifted = calibrated(case, times, None if wide is None else wide * half)
    interval, text = shifted.interval, notices.unlike_training(shifted)
    assert bool(text) == (times > 1)
    assert ("No interval is given: the image is too unlike" in text) == (factor is None)
    assert ("The interval is wider because" in text) == (factor == 3)
    if factor is None:
        assert interval is None
        return
    assert interval.upper - interval.lower == pytest.approx(2 * factor * half)
    assert interval.shifted == (factor == 3)
    assert interval.level == case.model.info.calibration.level


def test_a_head_with_inverted_grey_values_gets_no_interval(model):
    volume, registration = registered_head(72, 5)
    usual = explain(model, volume, top=1, registration=registration)
    assert usual.interval is not None
    inverted = replace(volume, data=float(volume.data.max()) - volume.data.astype(float))
    result = explain(model, inverted, top=1, registration=registration)
    told = {notice.code: notice.message for notice in result.warnings}
    assert "No interval is given" in told["unlike_training"]
    assert result.interval is None
    calibration = model.info.calibration.model_copy(update={"shifted_half_width": 25.0})
    info = model.info.model_copy(update={"calibration": calibration})
    wide = explain(replace(model, info=info), inverted, top=1, registration=registration)
    assert wide.interval.shifted
    assert wide.interval.upper - wide.interval.lower == pytest.approx(50)


def test_no_interval_without_a_calibration_or_for_a_refused_head(case):
    bare = case.model.info.model_copy(update={"calibration": None})
    uncalibrated = replace(case, model=replace(case.model, info=bare))
    assert uncalibrated.interval is None
    assert notices.unlike_training(uncalibrated) == ""
    prepared = replace(case.prepared, registration=failed(case.prepared.registration))
    refused = replace(case, prepared=prepared)
    assert refused.interval is None
    assert case.interval is not None
    assert notices.forced_prediction(refused)
    assert "interval" not in notices.unlike_training(calibrated(refused, 4, None))
    assert notices.forced_prediction(case) == ""


def test_the_ends_of_the_range_of_labels_are_said(case):
    low, high = case.label_range
    labels = [prototype.label for prototype in case.model.info.prototypes]
    assert (low, high) == pytest.approx((min(labels), max(labels)))
    margin = (high - low) / 10

    def said(prediction: float) -> tuple[str, str]:
        predictions = np.full(len(case.result.predictions), prediction)
        at = replace(case, result=replace(case.result, predictions=predictions))
        return at.range_end, notices.range_limit(at)

    value = high - 0.9 * margin
    assert said(value) == (
        "high",
        f"{value:.1f} years means {value:.1f} years or more: no prototype's age is above "
        f"{high:.1f}.",
    )
    value = low + 0.9 * margin
    assert said(value) == (
        "low",
        f"{value:.1f} years means {value:.1f} years or less: no prototype's age is below "
        f"{low:.1f}.",
    )
    for value in (high - 1.1 * margin, low + 1.1 * margin, (low + high) / 2):
        assert said(value) == ("", "")


def test_an_old_head_is_said_to_be_at_the_end_of_the_range(model):
    volume, registration = registered_head(84.5, 3)
    result = explain(model, volume, top=1, registration=registration)
    labels = result.labels
    assert labels.max() - result.prediction <= 0.1 * np.ptp(labels)
    assert result.range_end == "high"
    assert result.prediction_text.endswith(" years or more")
    assert {notice.severity for notice in result.warnings if notice.code == "range_limit"} == {
        "note"
    }


STORED = [
    "collapsed_model", "poor_registration", "brain_incomplete", "unlike_training",
    "training_image", "no_prototype_in_radius", "orientation_unknown", "spacing_unknown",
    "views_disagree", "prototype_image_missing",
]  # fmt: skip
"""Codes of version 0.1, which stored explanations and tables contain."""


def test_codes_do_not_change():
    assert set(STORED) <= {check.__name__ for check in notices.CHECKS}


def test_every_warning_is_documented():
    text = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    for check in notices.CHECKS:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{check.__name__}`"))
        assert row.split(" | ")[1] == notices.CHECKS[check]
        assert check.__doc__


def test_averages_are_said_and_so_is_a_training_image_without_its_file(averaged):
    codes = {notice.code: notice.message for notice in averaged.warnings}
    assert "prototype #1" in codes["training_image"]
    message = codes["prototype_image_missing"]
    assert "3 of 3 prototypes are shown as the average of at least ten" in message
    assert "EXPERT_DATA_DIR" in message


def test_an_unusual_pixel_size_is_said(fetal_model):
    from helpers.drawn_heads import PIXEL_MM, drawn_head

    small = drawn_head(semi_major_px=180, center=(200, 250), shape=(400, 500))
    wrong = replace(small, affine=np.diag([PIXEL_MM / 4] * 2 + [1, 1]))
    found = explain(fetal_model, wrong, images=False, force=True)
    assert "pixel_size_doubtful" in {notice.code for notice in found.warnings}
    usual = explain(fetal_model, drawn_head(), images=False)
    assert "pixel_size_doubtful" not in {notice.code for notice in usual.warnings}
