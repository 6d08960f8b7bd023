"""Tests of `expert.notices`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import expert
from expert import notices
from expert.imaging.volume import Volume


def test_orientation_unknown_is_said(model, head):
    bare = Volume(head.data, head.affine, "unknown")
    codes = {notice.code for notice in expert.explain(model, bare, top=1).warnings}
    assert "orientation_unknown" in codes


def test_half_a_head_is_said_to_be_half(model, head, explanation):
    assert "brain_incomplete" not in {notice.code for notice in explanation.warnings}
    below = np.array(head.data, dtype=np.float32)
    heights = (
        head.affine[2, :3] @ np.indices(head.shape).reshape(3, -1) + head.affine[2, 3]
    ).reshape(head.shape)
    below[heights < np.median(heights)] = 0
    told = {
        notice.code: notice.message
        for notice in expert.explain(model, Volume(below, head.affine), top=1).warnings
    }
    assert "of the brain is black or outside the image" in told["brain_incomplete"]


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

    monkeypatch.setattr(notices, "CHECKS", (*notices.CHECKS, dark_image, bright_image))
    last = expert.explain(model, head, top=1).warnings[-1]
    assert (last.code, last.message) == ("dark_image", "The image is dark.")


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
        assert f"`{check.__name__}`" in text
        assert check.__doc__
