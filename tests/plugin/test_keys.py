"""Tests of `napari_expert.keys`."""

from __future__ import annotations

import pytest
from helpers.window import press
from napari_expert.keys import KEYS

from expert.patches import CHOICES


@pytest.mark.visible
def test_every_key_does_something(viewer, shown):
    methods = {method for method, _, _ in KEYS.values()}
    assert all(callable(getattr(shown, method)) for method in methods)
    first = shown.scene.plane_number
    press(viewer, "PageUp")
    assert shown.scene.plane_number == first + 1
    press(viewer, "Shift-K")
    assert shown.scene.focus.patch == shown.scene.patches[0]
    press(viewer, "Shift-J")
    assert shown.scene.focus.patch == shown.scene.patches[-1]
    press(viewer, "Shift-M")
    assert shown.scene.mode == "lines"
    press(viewer, "Shift-N")
    assert shown.scene.partner == 2
    press(viewer, "Shift-G")
    assert shown.scene.mode == "grid"
    shown.choose_patches("all")
    assert shown.answer.choice_box.currentText() == list(CHOICES)[2]
