"""The visit, point by point, in a real window: what a radiologist does, with mouse, keys and
buttons."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QApplication, QLabel
from window import canvas_of, place_of, press

import expert
from expert.patches import CHOICES, box
from expert.schema import RESEARCH_USE
from napari_expert.keys import KEYS


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def panel(viewer, dock, head):
    widget = dock(viewer, head)
    viewer.window.resize(1280, 720)
    return widget


@pytest.fixture
def shown(panel, explanation):
    panel.show_explanation(explanation)
    QApplication.processEvents()
    return panel


# --- the nine points ------------------------------------------------------------------------------
def test_1_opens_a_volume_by_file_folder_or_sample(viewer, head_file):
    viewer.open(str(head_file), plugin="napari-expert")
    assert viewer.layers[0].metadata["expert_affine"]
    viewer.open_sample("napari-expert", "phantom-30")
    assert len(viewer.layers) == 2


def test_2_the_panel_says_at_once_whether_the_layer_fits(viewer, panel):
    assert "will be registered" in panel.fit.text()
    card = panel.card.text()
    for part in ("age in years", "trained on 180 subjects", "mean error", "needs a whole-head T1"):
        assert part in card
    viewer.add_image(np.random.default_rng(0).random((30, 40)), name="flat")
    assert panel.layer.name == "flat"
    assert "3D head" in panel.fit.text()
    assert not panel.run_button.isEnabled()


def test_3_run_passes_through_its_stages_and_becomes_cancel(panel, qtbot):
    stages = []
    panel.run_or_cancel()
    panel.job.advanced.connect(lambda stage, fraction: stages.append(stage))
    assert panel.run_button.text() == "Cancel"
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        pass
    assert list(dict.fromkeys(stages))[-3:] == ["register", "features", "match"]
    assert panel.run_button.text() == "Run"


def test_4_the_answer_with_its_interval_warnings_and_plot(shown, explanation, qtbot):
    e, answer = explanation, shown.answer
    assert (
        f"{e.prediction:.1f} {e.unit} (90 % interval: {e.interval.lower:.0f} – "
        f"{e.interval.upper:.0f})"
    ) == answer.headline.text()
    assert RESEARCH_USE in [label.text() for label in shown.findChildren(QLabel)]
    warned = e.model_copy(
        update={
            "warnings": (
                expert.explanation.Notice(code="views_disagree", message="They disagree."),
            )
        }
    )
    shown.show_explanation(warned)
    assert "They disagree." in answer.warnings.text()
    assert answer.warnings.isVisibleTo(shown)
    best = int(e.shares.argmax())
    assert answer.plot.describe(best).startswith("#1: ")
    x = answer.plot._across(float(e.labels[best]))
    assert answer.plot.prototype_at(x) == best


def test_5_patches_light_up_from_the_subject_the_prototypes_the_table_and_the_plot(
    viewer, shown, qtbot
):
    scene, native = shown.scene, canvas_of(viewer)
    lit = lambda: [np.asarray(cell.wash.edge_color)[:, 3] for cell in scene.cells]  # noqa: E731
    for cell in (0, 2):
        patch = scene.patches[1]
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch) + QPoint(3, 3))
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch))
        qtbot.waitUntil(
            lambda cell=cell, patch=patch: scene.focus is not None and scene.focus.cell == cell,
            timeout=3000,
        )
        assert scene.focus.patch == patch
        for share, alpha in zip(scene.focus.shares, lit(), strict=True):
            assert alpha.argmax() == share.argmax()
    qtbot.mouseClick(
        native, Qt.MouseButton.LeftButton, pos=place_of(viewer, scene, 0, scene.patches[3])
    )
    qtbot.waitUntil(lambda: scene.pinned, timeout=3000)
    assert (scene.focus.cell, scene.focus.patch) == (0, scene.patches[3])
    press(viewer, "Escape")
    assert scene.focus is None
    shown.answer.table.selectRow(7)
    assert scene.pinned
    scene.set_focus(None)
    plot, e = shown.answer.plot, scene.explanation
    place = QPointF(plot._across(float(e.labels[e.prototypes[1].index])), 60).toPoint()
    qtbot.mouseMove(plot, place)
    qtbot.waitUntil(lambda: scene.speaking is not None, timeout=3000)
    assert lit()[0].any()
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=place)
    assert scene.partner == 2


def test_6_in_its_own_space_the_original_image_carries_patches_and_what_they_say(
    viewer, shown, head, tmp_path
):
    scene, source, before = shown.scene, viewer.layers["head"], viewer.canvas.overlays.text.visible
    press(viewer, "Shift-O")
    assert scene.mode == "own"
    assert source.visible
    assert not any(cell.image.visible for cell in scene.cells)
    overlay = shown.visit.overlay
    for layer in overlay.layers:
        np.testing.assert_allclose(layer.scale, source.scale)
        np.testing.assert_allclose(layer.translate, source.translate)
        assert layer.data.shape == source.data.shape
    assert viewer.canvas.overlays.text.text == "top A · bottom P · left R · right L"
    # Something is said, and the legend says what the colours mean; the middle of a patch is that
    # patch's.
    assert shown.answer.legend.isVisibleTo(shown)
    patch = scene.patches[0]
    voxels = np.argwhere(overlay.outlines.data == patch + 1)
    assert overlay.patch_under(source.data_to_world(voxels[len(voxels) // 2])) == patch
    shown.save_layers(tmp_path / "said.nii.gz")
    assert not shown.error.text()
    said, numbers = (
        expert.read_volume(tmp_path / name) for name in ("said.nii.gz", "said_patches.nii.gz")
    )
    np.testing.assert_allclose(
        np.abs(np.linalg.det(said.affine)), np.abs(np.linalg.det(head.affine))
    )
    assert set(np.unique(numbers.data)) <= set(range(len(scene.explanation.views[0].mass) + 1))
    press(viewer, "Shift-O")
    assert scene.mode == "grid"
    assert viewer.canvas.overlays.text.visible == before
    assert len(viewer.layers) == 1 + 3 * 4


def test_7_slider_contrast_and_letters_move_together(viewer, shown):
    scene = shown.scene
    scene.cells[0].image.gamma = 0.7
    assert scene.cells[3].image.gamma == 0.7
    for number in (0, 4):
        viewer.dims.set_point(0, float(scene._heights[number]))
        assert scene.plane_number == number
        assert shown.answer.view_box.currentIndex() == number
    shown.step_plane(-1)
    assert viewer.dims.point[0] == pytest.approx(scene._heights[3], abs=viewer.dims.range[0].step)
    # The patient's right is drawn on the left; a key turns it, and says so.
    left = lambda: next(  # noqa: E731
        scene.cells[0].boxes.data_to_world(corners.mean(axis=0))[-1]
        for corners, word in zip(
            scene.cells[0].boxes.data, scene.cells[0].boxes.features["text"], strict=True
        )
        if word == "R"
    )
    middle = lambda: scene.cells[0].image.data_to_world(  # noqa: E731
        np.array(scene.cells[0].image.data.shape) / 2
    )[-1]
    assert left() < middle()
    assert "right is on the left" in shown.answer.about.text()
    press(viewer, "Shift-F")
    assert left() > middle()
    assert "right is on the right" in shown.answer.about.text()


def test_8_everything_is_saved_and_a_saved_explanation_opens_again(
    viewer, shown, explanation, tmp_path
):
    shown.save_report(tmp_path / "r.html")
    shown.save_explanation(tmp_path / "e.json")
    assert RESEARCH_USE in (tmp_path / "r.html").read_text()
    shown.clear()
    shown.open_explanation(tmp_path / "e.json")
    assert shown.explanation.prediction == explanation.prediction
    # Its image is open: it is recognised, and the own space is offered.
    assert shown.answer.mode_buttons["own"].isEnabled()
    shown.clear()
    viewer.layers.clear()
    shown.open_explanation(tmp_path / "e.json")
    assert len(viewer.layers) == 3 * 4
    assert not shown.answer.mode_buttons["own"].isEnabled()
    shown.clear()
    shown.save_report()
    assert "nothing to save yet" in shown.error.text()


def test_9_closing_gives_back_layers_grid_and_camera(viewer, panel, explanation):
    before = (
        viewer.scene.camera.zoom,
        tuple(viewer.scene.camera.center),
        viewer.canvas.grid.enabled,
        len(viewer.keymap),
    )
    panel.show_explanation(explanation)
    for act in (panel.toggle_lines, panel.toggle_lines, panel.toggle_convention):
        act()
    panel.clear()
    after = (
        viewer.scene.camera.zoom,
        tuple(viewer.scene.camera.center),
        viewer.canvas.grid.enabled,
        len(viewer.keymap),
    )
    assert after == before
    assert [layer.name for layer in viewer.layers] == ["head"]
    panel.close_down()
    assert not viewer.keymap
    assert not viewer.mouse_move_callbacks


def test_9_a_result_is_cleared_and_shown_again_and_again(viewer, panel, explanation, qtbot):
    """The canvas is drawn in between: what was taken away must not be drawn any more."""
    for _ in range(3):
        panel.show_explanation(explanation)
        qtbot.wait(200)
        panel.clear()
        qtbot.wait(200)
    assert [layer.name for layer in viewer.layers] == ["head"]


# --- besides the nine points ----------------------------------------------------------------------
def test_lines_join_matched_patches_by_share_and_keep_plane_zoom_and_selection(viewer, shown):
    scene = shown.scene
    shown.step_plane(1)
    scene.set_focus(0, scene.patches[0], pin=True)
    scene.reset_camera(1.5)
    kept = (scene.plane_number, scene.focus)
    shown.toggle_lines()
    assert not viewer.canvas.grid.enabled
    assert (scene.plane_number, scene.focus) == kept
    assert viewer.scene.camera.zoom == pytest.approx(1.5 * scene._framing.fitted()[1])
    assert [cell.image.visible for cell in scene.cells] == [True, True, False, False]
    # Held: the row of that patch alone; let go: those of all numbered ones.
    start = np.array(
        scene.cells[0].image.data_to_world(box(scene.explanation, scene.patches[0]).mean(axis=0))
    )[-2:]
    np.testing.assert_allclose(
        scene.lines.data[:, 0], np.tile(start, (len(scene.lines.data), 1)), atol=1e-3
    )
    shares = scene.focus.shares[1]
    np.testing.assert_allclose(
        np.sort(np.asarray(scene.lines.edge_color)[:, 3]),
        np.sort(0.15 + 0.85 * shares[shares >= 0.1]),
        atol=1e-5,
    )
    scene.set_focus(None)
    assert len(scene.lines.data) >= 6
    ends = scene.lines.data[:, 0] + scene.lines.data[:, 1]
    first = scene.cells[1].image
    low, high = (
        np.array(first.data_to_world(corner))[-2:] for corner in ((0, 0), first.data.shape)
    )
    assert ((ends > low) & (ends < high)).all()
    shown.step_prototype(1)
    assert [cell.image.visible for cell in scene.cells] == [True, False, True, False]
    shown.toggle_lines()
    assert scene.lines is None
    assert all(cell.image.visible for cell in scene.cells)


def test_what_speaks_for_one_prototype_rather_than_another(shown):
    box_, scene = shown.answer.speak_box, shown.scene
    words = [box_.itemText(n) for n in range(box_.count())]
    assert words[:2] == ["none", "what moved the answer"]
    labels = [scene.explanation.labels[index] for index in scene.board.prototypes]
    wanted = f"why #1 ({labels[0]:.0f}) and not #2 ({labels[1]:.0f})"
    assert wanted in words
    for number in range(1, box_.count()):
        box_.setCurrentIndex(number)
        assert scene.speaking is not None
        assert shown.answer.legend.isVisibleTo(shown)
    box_.setCurrentIndex(words.index(wanted))
    view, (first, second, *_) = scene.plane.view, scene.board.prototypes
    gap = scene.explanation.views[view].distances
    assert scene.speaking[view].sum() == pytest.approx(gap[second] - gap[first], abs=1e-6)
    box_.setCurrentIndex(0)
    assert not np.asarray(scene.cells[0].wash.edge_color)[:, 3].any()


def test_two_answers_are_compared(panel, model, explanation, viewer, tmp_path):
    from expert.datasets.phantom import phantom

    other = expert.explain(model, phantom(70, 9), top=8)
    panel.show_explanation(other)
    first = expert.explain(model, phantom(72, 5), top=8)
    panel.show_explanation(first)
    panel._compare_asked("previous")
    board = panel.scene.board
    assert board.subjects == 2
    assert f"{other.prediction - first.prediction:+.1f}" in panel.answer.headline.text()
    assert len(viewer.layers) == 1 + 3 * board.cells
    panel.toggle_lines()
    assert [cell.image.visible for cell in panel.scene.cells][:3] == [True, True, True]
    rest = tuple(m for m in other.prototypes if m.index not in {n.index for n in first.prototypes})
    panel.show_explanation(first)
    path = other.model_copy(
        update={"model_sha256": "0", "prototypes": rest or other.prototypes}
    ).save(tmp_path / "o.json")
    panel.compare(path)
    assert "different models" in panel.error.text()
    assert panel.scene.board.subjects == 1


def test_more_prototypes_without_another_run(panel, model, head, viewer):
    panel.show_explanation(expert.explain(model, head, top=8))
    assert len(viewer.layers) == 1 + 3 * 4
    panel.top.setValue(5)
    assert len(viewer.layers) == 1 + 3 * 6
    assert panel.visit.exported().prototypes[-1].rank == 5


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


def test_every_control_has_a_name_for_screen_readers_and_the_tab_key_goes_down(shown):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget

    controls = [
        w
        for kind in (QComboBox, QTableWidget, QAbstractSpinBox, QAbstractButton)
        for w in shown.findChildren(kind)
        if w.isVisibleTo(shown)
        and w.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not w.objectName().startswith("qt_")
    ]
    assert len(controls) > 8
    for control in controls:
        assert control.accessibleName() or getattr(control, "text", str)(), control
    order, widget = [], shown.model_box
    while widget not in order:
        order.append(widget)
        widget = widget.nextInFocusChain()
    wanted = [
        shown.model_box,
        shown.layer_box,
        shown.top,
        shown.run_button,
        shown.answer.view_box,
        shown.answer.table,
    ]
    places = [order.index(w) for w in wanted]
    assert places == sorted(places)


def test_the_panel_scrolls_at_1280_by_720(viewer, shown):
    QApplication.processEvents()
    assert viewer.window._qt_window.height() <= 720
    assert viewer.canvas.size[1] >= 500
    assert shown.scroll.verticalScrollBar().maximum() > 0
    assert shown.scroll.horizontalScrollBar().maximum() == 0


def test_a_result_that_was_never_drawn_is_taken_away(viewer, panel, model, head):
    panel.show_explanation(expert.explain(model, head, top=6))
    panel.top.setValue(5)
    QApplication.processEvents()
    panel.top.setValue(3)
    panel.clear()  # napari crashed when it drew what came after
    for _ in range(5):
        QApplication.processEvents()
    assert [layer.name for layer in viewer.layers] == ["head"]
    assert viewer.layers["head"].visible


def test_ten_runs_leave_no_more_than_one(viewer, panel, qtbot, explanation):
    import gc
    import os
    import threading

    def count():
        gc.collect()
        return (
            len(viewer.layers),
            len(viewer.mouse_move_callbacks),
            len(viewer.mouse_drag_callbacks),
            len(viewer.keymap),
            len(viewer.layers.events.inserted.callbacks),
            len(viewer.layers.events.removed.callbacks),
            len(viewer.dims.events.point.callbacks),
            len(viewer.canvas.events.size.callbacks),
            sum(
                len(layer.events.contrast_limits.callbacks)
                for layer in viewer.layers
                if isinstance(layer, Image)
            ),
            threading.active_count(),
        )

    def memory():
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def one():
        with qtbot.waitSignal(panel.ended, timeout=120_000):
            panel.run()
        for act in (panel.toggle_lines, panel.toggle_lines):
            act()
        QApplication.processEvents()

    one()
    one()
    first, before = count(), memory()
    for _ in range(8):
        one()
    assert count() == first
    assert memory() - before < 50
