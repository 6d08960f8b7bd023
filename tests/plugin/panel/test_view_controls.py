"""Tests of `napari_expert.panel.view_controls`."""

from __future__ import annotations

from qtpy.QtWidgets import QFormLayout, QWidget

from napari_expert.panel.view_controls import ViewControls
from napari_expert.session import Session


def test_the_rows_show_and_change_how_images_are_looked_at(qtbot, solid, explanation):
    parent, session = QWidget(), Session()
    qtbot.addWidget(parent)
    controls = ViewControls(QFormLayout(parent), session)
    shown = lambda widget: controls.form.isRowVisible(widget)  # noqa: E731
    session.show(solid)
    assert shown(controls.axis_box)
    assert shown(controls.window_box)
    assert not shown(controls.opacity)
    controls.axis_box.setCurrentIndex(2)
    assert session.viewing.axis == session.plane.axis == 2
    controls.window_box.setCurrentIndex(1)
    assert session.viewing.window == "brain"
    session.viewing.next_window()
    assert controls.window_box.currentIndex() == 2
    session.show_mode("planes")
    assert not shown(controls.axis_box)
    session.native = True
    session.events.mode.emit()
    assert shown(controls.opacity)
    assert not shown(controls.window_box)
    controls.opacity.setValue(25)
    assert session.viewing.opacity == 0.25
    session.show(explanation)
    assert not shown(controls.axis_box)
