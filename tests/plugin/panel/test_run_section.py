"""Tests of `napari_expert.panel.run_section`."""

from __future__ import annotations

import pytest
from helpers.refusals import REASON
from helpers.window import notifications
from napari.layers import Image
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from expert.errors import InputError
from napari_expert.panel.explain_worker import ExplainJob
from napari_expert.panel.run_section import WARM_UP_MS, RunSection

DIRECT = Qt.ConnectionType.DirectConnection


@pytest.fixture
def section(qtbot):
    section = RunSection()
    qtbot.addWidget(section)
    return section


def test_a_run_can_be_started_when_the_input_is_ready(section):
    section.set_ready(False)
    assert not section.button.isEnabled()
    section.set_ready(True)
    assert section.button.isEnabled()


def test_a_run_ends_with_its_result_and_its_layer(section, model, head, qtbot):
    layer, results, percentages = Image(head.data), [], []
    section.set_ready(True)
    section.succeeded.connect(lambda *result: results.append(result))
    section.progress.valueChanged.connect(percentages.append)
    with qtbot.waitSignal(section.ended, timeout=120_000):
        section.start(ExplainJob(model, head, 1), layer)
        assert section.button.text() == "Cancel"
    assert len(set(percentages)) > 4
    assert percentages == sorted(percentages)  # the bar never starts again
    assert percentages[-1] > 90
    ((explanation, source, volume),) = results
    assert volume is head
    assert source is layer
    assert explanation.label_name == "age"
    assert section.job is None
    assert section.button.text() == "Run"
    assert section.progress.isHidden()


def test_a_cancelled_run_ends_at_once_without_a_result(section, model, head, qtbot):
    results = []
    section.succeeded.connect(lambda *result: results.append(result))
    with qtbot.waitSignal(section.ended, timeout=1000):
        section.start(ExplainJob(model, head, 1), Image(head.data))
        section.cancel()
    assert section.job is None
    assert results == []
    section.cancel()  # nothing to cancel


def test_an_error_is_shown_and_goes_with_the_next_attempt(section):
    def fail():
        raise InputError("There is no file x.")

    section.attempt(fail)
    assert section.error.text() == "There is no file x."
    assert not section.error.isHidden()
    assert notifications()[-1] == "There is no file x."
    section.attempt(lambda: None)
    assert section.error.text() == ""
    assert section.error.isHidden()


def test_errors_of_the_software_itself_are_not_hidden(section):
    with pytest.raises(ZeroDivisionError):
        section.attempt(lambda: 1 / 0)


@pytest.fixture
def refused(section, model, head, heads_refused, qtbot):
    """The section after the head was refused, with the layer chosen."""
    section.set_ready(True, "phantom", "head")
    with qtbot.waitSignals([section.refused, section.ended], timeout=120_000):
        section.start(ExplainJob(model, head, 1), Image(head.data))
    return section


def test_a_refusal_is_an_error_with_a_way_on(refused, qtbot):
    assert refused.error.text() == REASON
    assert not refused.error.isHidden()
    assert notifications()[-1] == REASON
    assert not refused.force_button.isHidden()
    with qtbot.waitSignal(refused.force_asked, timeout=1000):
        refused.force_button.click()
    refused.show_error("")
    assert refused.force_button.isHidden()


def test_a_refusal_holds_for_its_model_and_image_only(refused):
    refused.set_ready(True, "phantom", "head")
    assert not refused.force_button.isHidden()
    refused.set_ready(True, "phantom", "another head")
    assert refused.force_button.isHidden()
    assert refused.error.isHidden()


def test_other_errors_have_no_way_on(section):
    section.fail("There is no file x.")
    assert section.force_button.isHidden()
    section.set_ready(True, "phantom", "head")
    assert not section.error.isHidden()


def test_what_a_run_needs_is_loaded_before_it(section, model, qtbot):
    section.warm_up(model)
    job = section._warm_up
    with qtbot.waitSignal(job.finished, timeout=60_000):
        pass
    section.warm_up(model)
    assert section._warm_up is job


def test_loading_ends_with_the_panel(section, model, qtbot):
    section.warm_up(model)
    section.close_down()
    assert not section._warm_up.running
    qtbot.wait(2 * WARM_UP_MS)  # and does not start later


def test_runs_share_what_was_computed_of_an_image(section, model, head, qtbot):
    layer, stages = Image(head.data), []
    for top in (1, 2):
        job = ExplainJob(model, head, top)
        job.advanced.connect(lambda stage, _: stages.append(stage), type=DIRECT)
        with qtbot.waitSignal(section.ended, timeout=120_000):
            section.start(job, layer)
        if top == 1:
            stages.clear()
    assert stages.count("register") == stages.count("features") == 1
    section.close_down()
    assert section.cache is None


def test_a_double_click_starts_one_run(section, model, head, qtbot):
    started = []

    def act():
        started.append(section.job is None)
        if section.job is None:
            section.start(ExplainJob(model, head, 1), Image(head.data))
        else:
            section.cancel()

    section.set_ready(True)
    section.button.clicked.connect(act)
    with qtbot.waitSignal(section.succeeded, timeout=120_000):
        qtbot.mouseClick(section.button, Qt.MouseButton.LeftButton)
        # What Qt sends for the second click of a double click.
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        place = QPointF(section.button.rect().center())
        second = QMouseEvent(QEvent.Type.MouseButtonDblClick, place, place, left, left, none)
        QApplication.sendEvent(section.button, second)
        qtbot.mouseRelease(section.button, left)
    assert started == [True]
