"""Prototypes beyond the explained ones are matched in another thread while the panel is in use."""

from __future__ import annotations

import pytest

from expert.explanation import Explanation
from napari_expert.prototype_browser import by_weight


def matched(panel, qtbot):
    qtbot.waitUntil(lambda: not panel.matching.running, timeout=60_000)


@pytest.mark.visible
def test_the_next_prototype_appears(shown, explanation, qtbot, viewer):
    viewer.scene.camera.zoom *= 3
    zoom = viewer.scene.camera.zoom
    shown.session.browser.step(1)
    matched(shown, qtbot)
    assert viewer.scene.camera.zoom == zoom
    order = by_weight([explanation])
    assert shown.session.board.prototypes == tuple(order[1:4])
    assert [tile.image.name for tile in shown.result_layers.tiles][1:] == [
        "ExPeRT #2",
        "ExPeRT #3",
        "ExPeRT #4",
    ]
    matched(shown, qtbot)
    assert int(order[4]) in shown.session.browser._known(0), "matched ahead"


def test_two_samples_that_share_no_explained_prototype(panel, explanation, model, qtbot, tmp_path):
    import expert
    from expert.datasets.phantom import phantom

    young = expert.explain(model, phantom(30, 9), top=2)
    panel.show_explanation(explanation)
    panel.compare("saved", young.save(tmp_path / "young.json"))
    matched(panel, qtbot)
    assert not panel.runs.error.text()
    assert panel.session.board.subjects == 2
    assert len(panel.session.board.prototypes) == 3


def test_a_model_that_is_not_there(panel, explanation, qtbot, tmp_path):
    unknown = explanation.model_copy(update={"model_sha256": "0", "model_name": "theirs"})
    panel.open_explanation(unknown.save(tmp_path / "e.json"))
    panel.session.browser.step(1)
    matched(panel, qtbot)
    assert "choose its model (theirs" in panel.runs.error.text()
    assert panel.session.board.prototypes[0] == explanation.prototypes[0].index
    assert isinstance(panel.explanation, Explanation)


def test_a_shipped_model_need_not_be_chosen(panel, explanation, tiny_model_file, qtbot):
    panel.input.choose_model(str(tiny_model_file))
    panel.show_explanation(explanation)
    panel.session.browser.step(1)
    matched(panel, qtbot)
    assert panel.session.browser.start == 1
    assert not panel.runs.error.text()


def test_the_panel_is_closed_while_it_matches(panel, explanation, qtbot, viewer):
    panel.show_explanation(explanation)
    panel.session.browser.step(1)
    assert panel.matching.running
    panel.close_down()
    matched(panel, qtbot)
    assert panel.session.board is None
    assert len(viewer.layers) == 1
