"""Tests of `napari_expert.panel.explain_worker`."""

from __future__ import annotations

import time

import numpy as np
import pytest
from helpers.refusals import REASON
from helpers.window import over, run_without_error, square, state, wait_for_run

from napari_expert.panel.explain_worker import ExplainJob


def test_cancel_acts_within_a_second_and_loses_nothing(viewer, panel, qtbot):
    before = state(viewer)
    panel.run()
    assert panel.runs.button.text() == "Cancel"
    qtbot.wait(300)
    start = time.monotonic()
    with qtbot.waitSignal(panel.ended, timeout=5000):
        panel.runs.button.click()
    assert time.monotonic() - start < 1
    assert panel.runs.button.text() == "Run"
    assert state(viewer) == before
    assert not panel.runs.error.text()
    wait_for_run(panel, qtbot)
    assert panel.explanation is not None


def test_an_error_is_one_sentence_in_the_panel(viewer, panel, qtbot):
    layer = viewer.add_image(
        np.random.default_rng(0).random((40, 40, 40)), name="noise", scale=(2, 2, 2)
    )
    layer.data[:] = 0
    panel.input.layer_box.setCurrentIndex(panel.input.layer_box.findText("noise"))
    wait_for_run(panel, qtbot)
    assert panel.runs.error.text().endswith(".")
    assert "Unexpected" not in panel.runs.error.text()
    assert panel.explanation is None
    assert panel.runs.button.isEnabled()


def test_a_refusal_is_not_an_error_and_force_goes_through(model, head, heads_refused, qtbot):
    for force in (False, True):
        job, heard = ExplainJob(model, head, 1, force=force), []
        job.refused.connect(lambda reason, heard=heard: heard.append(reason))
        job.failed.connect(lambda reason, heard=heard: heard.append(f"failed: {reason}"))
        job.succeeded.connect(lambda result, heard=heard: heard.append(result.forced))
        with qtbot.waitSignal(job.finished, timeout=120_000):
            job.start()
        assert heard == [REASON]
        assert not job.running


def test_the_layer_is_deleted_while_it_runs(viewer, panel, qtbot):
    panel.run()
    viewer.layers.remove("head")
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        pass
    assert panel.explanation is not None


@pytest.mark.visible
def test_3_run_passes_through_its_stages_and_becomes_cancel(panel, qtbot):
    stages = []
    panel.run_or_cancel()
    panel.job.advanced.connect(lambda stage, fraction: stages.append(stage))
    assert panel.runs.button.text() == "Cancel"
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        pass
    assert list(dict.fromkeys(stages))[-3:] == ["register", "features", "match"]
    assert panel.runs.button.text() == "Run"


@pytest.mark.visible
@pytest.mark.parametrize("stage", ["load", "register", "features", "match"])
def test_cancel_in_every_stage_acts_at_once_and_leaves_the_panel_ready(viewer, panel, qtbot, stage):
    took = []

    def cancel(now, fraction):
        if now == stage and panel.job is not None and panel.job.running:
            start = time.monotonic()
            panel.runs.button.click()
            took.append(time.monotonic() - start)

    with qtbot.waitSignal(panel.ended, timeout=120_000):
        panel.run()
        panel.job.advanced.connect(cancel)
        if stage == "load":  # it is the one that a run begins with
            assert panel.runs.progress.format() == "loading the model"
            cancel("load", 0.0)
    assert len(took) == 1
    assert took[0] < 1
    assert panel.job is None
    assert (panel.runs.button.text(), panel.runs.button.isEnabled()) == ("Run", True)
    assert not panel.runs.progress.isVisible()
    assert not panel.runs.error.text()
    assert [layer.name for layer in viewer.layers] == ["head"]
    over(qtbot)
    assert panel.explanation is None
    if stage == "match":
        run_without_error(panel, qtbot)
        assert panel.explanation is not None


@pytest.mark.visible
def test_the_layer_is_given_other_data_while_it_runs(viewer, image_panel, qtbot):
    """The answer is about what the layer held then: nothing of it is laid over what it holds
    now."""
    layer = viewer.add_image(square(60), name="scan")
    with qtbot.waitSignal(image_panel.ended, timeout=60_000):
        image_panel.run()
        layer.data = square(20)
    assert image_panel.explanation is not None
    assert not image_panel.result.mode_buttons["native"].isEnabled()
