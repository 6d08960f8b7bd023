"""Tests of `expert.evaluation.sites`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.evaluation.sites import (
    COLUMNS,
    FIGURE_COLUMNS,
    PredictedImage,
    evaluate_site,
    evaluate_sites,
    figure_rows,
    half_width,
)
from expert.schema import Calibration


def image(row: int, site: str, label: float, error: float | None, **more) -> PredictedImage:
    prediction = None if error is None else label + error
    reason = "" if error is not None else "It shows no brain."
    more = {"subject": f"s{row}", "refused": reason} | more
    return PredictedImage(row=row, site=site, label=label, prediction=prediction, **more)


IMAGES = [
    image(1, "A", 20.0, 1.0, covered=True),
    image(2, "B", 30.0, -4.0, covered=True, unlike_training=True),
    image(3, "A", 60.0, -3.0, covered=False),
    image(4, "B", 50.0, None),
    image(5, "A", 40.0, 5.0, covered=True),
]


def test_figures_of_a_site():
    a, b = evaluate_sites(IMAGES, training_mean=45.0)
    assert (a.name, a.heads, a.refused, a.subjects) == ("A", 3, 0, 3)
    assert a.errors.mae == pytest.approx(3)
    assert a.errors.mean_error == pytest.approx(1)
    assert a.errors.mean_predictor_mae == pytest.approx((25 + 15 + 5) / 3)
    assert a.errors.r == pytest.approx(np.corrcoef([20, 60, 40], [21, 57, 45])[0, 1])
    assert a.interval_coverage == pytest.approx(2 / 3)
    assert a.unlike_training == 0
    assert a.label_range == (20.0, 60.0)
    assert (b.name, b.heads, b.refused, b.subjects) == ("B", 2, 1, 1)
    assert b.errors.mae == pytest.approx(4)
    assert b.unlike_training == 1


def test_texts_of_a_table():
    a, b = (dict(zip(COLUMNS, s.cells(), strict=True)) for s in evaluate_sites(IMAGES, 45.0))
    assert a["site"] == "A"
    assert a["MAE (95 %)"].startswith("3.00 (")
    assert a["mean error"] == "+1.00"
    assert a["interval covers"] == "67%"
    assert b["refused"] == "1"
    assert b["r"] == ""  # of one image


def test_rows_of_one_subject_are_resampled_together():
    many = [image(n, "A", 40.0, float(n), subject="one") for n in range(6)]
    site = evaluate_site("A", many, 45.0)
    assert site.subjects == 1
    assert site.errors.mae_low == site.errors.mae == site.errors.mae_high


def test_a_site_without_predictions_has_no_figures():
    site = evaluate_site("C", [image(1, "C", 30.0, None)], 45.0)
    assert site.errors is None
    assert site.figures("external") is None
    assert site.cells()[:3] == ("C", "1", "1")
    assert len(site.cells()) == len(COLUMNS)


def test_figures_for_a_model_file():
    figures = evaluate_sites(IMAGES, 45.0)[0].figures("site held out")
    assert figures.kind == "site held out"
    assert figures.subjects == 3
    assert figures.mean_error == pytest.approx(1)
    (row,) = figure_rows([figures])
    shown = dict(zip(FIGURE_COLUMNS, row, strict=True))
    assert shown["range"] == "20 – 60"
    assert shown["MAE"] == "3.00"
    assert shown["interval covers"] == "67%"


def test_a_row_of_the_file_names_no_subject():
    document = IMAGES[3].document()
    assert "s4" not in str(document)
    assert document["prediction"] is None
    assert document["refused"] == "It shows no brain."


def test_the_interval_is_wider_for_flagged_images_of_models_that_say_so():
    narrow = Calibration(half_width=8.0, nearest_distance_limit=5.0, images=50)
    assert half_width(narrow, True) == half_width(narrow, False) == 8.0
    wide = narrow.model_copy(update={"shifted_half_width": 12.0})
    assert half_width(wide, True) == 12.0
    assert half_width(wide, False) == 8.0
    assert half_width(wide.model_copy(update={"shifted_half_width": 3.0}), True) == 8.0
