"""The visit with a model of whole 3D heads: what a slice cuts is drawn, and what lies in other
slices is one step away."""

from __future__ import annotations

import csv

import nibabel
import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication
from window import canvas_of, place_of, press

from expert.patches import FAINT, box, display
from expert.schema import RESEARCH_USE


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def panel(viewer, dock, head, volume_model_file):
    return dock(viewer, head, volume_model_file)


@pytest.fixture
def shown(panel, volume_explanation):
    panel.show_explanation(volume_explanation)
    QApplication.processEvents()
    return panel


def slab(e, plane) -> int:
    """The layer of patches that a slice cuts."""
    return plane.slice * e.grid[0] // e.view_shape[0]


def height_of(e, patch: int) -> int:
    """The layer that a patch lies in."""
    return int(np.unravel_index(patch, e.grid)[0])


def lit(cell) -> np.ndarray:
    return np.asarray(cell.wash.edge_color)[:, 3]


def across(e) -> tuple[int, int, int]:
    """A patch of the subject, the shown prototype in which most of it went to another layer of
    patches, and where."""
    share, found = 0.0, (0, 0, 0)
    for number, match in enumerate(e.prototypes[:3]):
        for patch in np.flatnonzero(e.views[0].mass > 0.5 / len(e.views[0].mass)):
            row = match.views[0].matches(int(patch))
            target = int(row.argmax())
            if height_of(e, target) != height_of(e, patch) and row[target] > share:
                share, found = float(row[target]), (int(patch), number, target)
    assert share > 0
    return found


def go_to(scene, layer: int) -> None:
    scene.show_plane(
        next(
            n
            for n, plane in enumerate(scene.board.planes)
            if slab(scene.explanation, plane) == layer
        )
    )


def test_a_run_shows_slices_of_the_head_and_of_its_prototypes(panel, viewer, qtbot):
    assert "will be registered" in panel.fit.text()
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        panel.run()
    e, scene = panel.explanation, panel.scene
    assert (len(e.view_shape), len(e.views)) == (3, 1)
    assert f"{e.prediction:.1f} years" in panel.answer.headline.text()
    assert len(viewer.layers) == 1 + 3 * 4
    box_ = panel.answer.view_box
    assert (
        box_.count()
        == len(scene.board.planes)
        == np.count_nonzero(e.views[0].image.any(axis=(1, 2)))
    )
    assert {box_.itemText(n) for n in range(box_.count())} == {
        plane.name for plane in scene.board.planes
    }


def test_slices_move_with_the_slider_and_with_the_keys(viewer, shown, volume_explanation):
    e, scene = volume_explanation, shown.scene
    world = scene._heights
    for number in (2, len(world) - 1):
        viewer.dims.set_point(0, float(world[number]))
        assert scene.plane_number == shown.answer.view_box.currentIndex() == number
    press(viewer, "PageDown")
    assert scene.plane_number == len(world) - 2
    assert viewer.dims.point[0] == pytest.approx(world[-2], abs=viewer.dims.range[0].step)
    press(viewer, "PageUp")
    press(viewer, "PageUp")
    assert scene.plane_number == len(world) - 1  # the last one
    shown.answer.view_box.setCurrentIndex(4)
    at = scene.plane.slice
    np.testing.assert_array_equal(scene.cells[0].image.data, display(e.views[0].image[at], True))
    np.testing.assert_array_equal(
        scene.cells[2].image.data, display(e.prototypes[1].image[at], True)
    )


def test_the_slider_shows_the_plane_at_its_height_in_the_head(
    viewer, shown, volume_explanation, head
):
    """The slice on show and the original image's slice at the same slider place are the same
    anatomy: the brain's width."""
    scene = shown.scene
    step = volume_explanation.views[0].affine[2, 0]
    to_template = np.linalg.inv(volume_explanation.registration.template_to_subject)
    for number in (3, len(scene.board.planes) // 2):
        scene.show_plane(number)
        # Where the slider stands is a height of the head's own world; through the registration it
        # is that of the plane.
        place = scene.board.planes[number].position_mm
        own = volume_explanation.registration.template_to_subject @ [0.0, -18.0, place, 1.0]
        back = to_template @ [own[0], own[1], viewer.dims.point[0], 1.0]
        assert abs(back[2] - place) < step


def test_boxes_are_those_of_patches_the_slice_cuts(shown, volume_explanation):
    e, scene = volume_explanation, shown.scene
    for choice in ("closest", "all"):
        scene.show_choice(choice)
        for number in (1, len(scene.board.planes) // 2, len(scene.board.planes) - 2):
            scene.show_plane(number)
            layer = slab(e, scene.plane)
            assert scene.patches
            assert all(height_of(e, patch) == layer for patch in scene.patches)
            for cell, layers in enumerate(scene.cells):
                wanted = []
                for patch in scene.patches:
                    row = (
                        np.eye(len(e.views[0].mass))[patch]
                        if cell == 0
                        else e.prototypes[cell - 1].views[0].matches(patch)
                    )
                    wanted += [n for n in np.flatnonzero(row >= FAINT) if height_of(e, n) == layer]
                boxes = [
                    np.asarray(corners)
                    for corners, words, width in zip(
                        layers.boxes.data,
                        layers.boxes.features["text"],
                        layers.boxes.edge_width,
                        strict=True,
                    )
                    if not words and width > 0
                ]
                middles = sorted(tuple(np.round(corners.mean(axis=0), 3)) for corners in boxes)
                assert middles == sorted(
                    tuple(np.round(box(e, int(n)).mean(axis=0), 3)) for n in wanted
                )
                assert all((corners[2] > corners[0]).all() for corners in boxes)


def test_many_boxes_on_one_patch_nest_within_it(shown, volume_explanation):
    """A patch of eight pixels to which five others went: every box is smaller than the one before
    and none is turned over."""
    e, scene = volume_explanation, shown.scene
    sink = scene.patches[0]
    flow = np.zeros_like(e.prototypes[0].views[0].flow)
    flow[:, sink] = e.views[0].mass
    first = e.prototypes[0]
    view = first.views[0].model_copy(update={"flow": flow})
    shown.show_explanation(
        e.model_copy(
            update={"prototypes": (first.model_copy(update={"views": (view,)}), *e.prototypes[1:])}
        )
    )
    layer = shown.scene.cells[1].boxes
    sizes = [
        np.asarray(corners)[2] - np.asarray(corners)[0]
        for corners, words, width in zip(
            layer.data, layer.features["text"], layer.edge_width, strict=True
        )
        if not words and width > 0
    ]
    assert len(sizes) == 6
    assert all((size > 0).all() for size in sizes)
    assert sizes[0][0] > sizes[1][0] > sizes[2][0]


def test_pointing_with_the_mouse_lights_up_partners_in_the_slice(
    viewer, shown, qtbot, volume_explanation
):
    scene, native = shown.scene, canvas_of(viewer)
    for cell in (0, 2):
        patch = scene.patches[1]
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch) + QPoint(2, 2))
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch))
        qtbot.waitUntil(
            lambda cell=cell: scene.focus is not None and scene.focus.cell == cell, timeout=3000
        )
        assert scene.focus.patch == patch
        for share, layers in zip(scene.focus.shares, scene.cells, strict=True):
            inside = share[scene.numbers]
            np.testing.assert_array_equal(lit(layers) > 0, inside > 0.01)
    assert (
        "S " in shown.answer.focus_line.text() or "I " in shown.answer.focus_line.text()
    )  # heights are told


def test_a_held_patch_stays_held_in_other_slices_and_its_partners_light_up_there(
    viewer, shown, qtbot, volume_explanation
):
    e, scene = volume_explanation, shown.scene
    patch, prototype, target = across(e)
    go_to(scene, height_of(e, patch))
    qtbot.mouseClick(
        canvas_of(viewer), Qt.MouseButton.LeftButton, pos=place_of(viewer, scene, 0, patch)
    )
    qtbot.waitUntil(lambda: scene.pinned, timeout=3000)
    assert scene.focus.patch == patch
    told = shown.answer.focus_line.text()
    assert "→" in told
    # Its number is not in the prototype's picture: it is said why.
    shown.choose_patches("all")
    number = scene.patches.index(patch) + 1
    said = [
        str(words)
        for words in scene.cells[1 + prototype].boxes.features["text"]
        if "other slices" in str(words)
    ]
    assert str(number) in said[0].split(":")[1].replace(" ", "").split(",")
    go_to(scene, height_of(e, target))
    assert scene.pinned
    assert scene.focus.patch == patch
    assert not lit(scene.cells[0]).any()  # the patch itself is not in this slice
    place = int(np.flatnonzero(scene.numbers == target)[0])
    assert lit(scene.cells[1 + prototype])[place] > 0
    assert shown.answer.focus_line.text() == told


def test_lines_join_what_the_slice_cuts_and_nothing_else(shown, volume_explanation):
    e, scene = volume_explanation, shown.scene
    shown.toggle_lines()
    assert [cell.image.visible for cell in scene.cells] == [True, True, False, False]
    layer = slab(e, scene.plane)
    count = sum(
        height_of(e, n) == layer
        for patch in scene.patches
        for n in np.flatnonzero(e.prototypes[0].views[0].matches(patch) >= FAINT)
    )
    drawn = np.asarray(scene.lines.edge_color)[:, 3] > 0
    assert drawn.sum() == count
    # A held patch that the slice does not cut starts no line: there is nothing there to start from.
    patch = scene.patches[0]
    scene.set_focus(0, patch, pin=True)
    go_to(scene, layer - 1)
    assert not (np.asarray(scene.lines.edge_color)[:, 3] > 0).any()
    go_to(scene, layer)
    assert scene.focus.patch == patch


def test_own_space_outlines_the_patches_in_the_head(viewer, shown, volume_explanation):
    e = volume_explanation
    shown.toggle_own_space()
    assert shown.scene.mode == "own"
    overlay = shown.visit.overlay
    assert isinstance(overlay.outlines, Labels)
    # The middle of a patch, taken to the head by the registration, carries that patch's number.
    volume, view = overlay.volume, e.views[0]
    to_voxel = np.linalg.inv(volume.affine) @ e.registration.template_to_subject @ view.affine
    for patch in shown.scene.patches:
        middle = (np.array(np.unravel_index(patch, e.grid)) + 0.5) * np.array(
            e.view_shape
        ) / e.grid - 0.5
        voxel = tuple(np.rint((to_voxel @ [*middle, 1.0])[:3]).astype(int))
        assert overlay.outlines.data[voxel] == patch + 1
        assert overlay.patch_under(overlay.layer.data_to_world(voxel)) == patch
    values = shown.answer.answer_values()[0]
    painted = overlay.map.data[np.isfinite(overlay.map.data)]
    assert set(np.unique(painted)) <= set(values.astype(np.float32))
    # The slider chooses the plane here too, and with it the patches that are numbered.
    before = set(shown.scene.patches)
    heights = shown.scene._heights
    away = next(
        n
        for n, plane in enumerate(shown.scene.board.planes)
        if slab(e, plane) != slab(e, shown.scene.plane)
    )
    viewer.dims.set_point(0, float(heights[away]))
    assert shown.scene.plane_number == away
    assert shown.scene.mode == "own"
    table = overlay.outlines.features
    numbered = set(table["index"][table["number"] != ""] - 1) - set(
        range(len(e.views[0].mass), 2 * len(e.views[0].mass))
    )
    assert numbered == set(shown.scene.patches) != before
    shown.toggle_own_space()
    assert shown.scene.mode == "grid"
    assert len(viewer.layers) == 1 + 3 * 4


def test_everything_is_saved_and_the_explanation_opens_again(
    viewer, shown, tmp_path, volume_explanation, head
):
    for save, name in ((shown.save_report, "r.html"), (shown.save_report, "r.pdf"), (shown.save_table, "t.csv"),  # noqa: E501
                       (shown.save_layers, "m.nii.gz"), (shown.save_explanation, "e.json")):  # fmt: skip  # noqa: E501
        save(tmp_path / name)
        assert not shown.error.text()
    html = (tmp_path / "r.html").read_text()
    assert RESEARCH_USE in html
    assert f"{volume_explanation.prediction:.1f}" in html
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    rows = [
        line for line in (tmp_path / "t.csv").read_text().splitlines() if not line.startswith("#")
    ]
    assert len(list(csv.DictReader(rows))) > 10
    assert nibabel.load(tmp_path / "m.nii.gz").shape == head.shape[::-1]  # axes R, A, S in the file
    shown.clear()
    shown.open_explanation(tmp_path / "e.json")
    assert shown.explanation.prediction == volume_explanation.prediction
    assert shown.answer.mode_buttons["own"].isEnabled()
    np.testing.assert_array_equal(
        shown.explanation.prototypes[0].image, volume_explanation.prototypes[0].image
    )


def test_two_heads_are_compared_slice_by_slice(
    shown, volume_explanation, volume_model_file, viewer
):
    import expert
    from expert.datasets.phantom import phantom

    other = expert.explain(expert.load_model(volume_model_file), phantom(35, 8), top=4)
    shown.show_explanation(other)
    shown._compare_asked("previous")
    board, scene = shown.scene.board, shown.scene
    assert board.subjects == 2
    assert board.title(0, scene.plane).startswith("A · ")
    for number in (0, len(board.planes) - 1):
        scene.show_plane(number)
        np.testing.assert_array_equal(
            scene.cells[1].image.data,
            display(volume_explanation.views[0].image[scene.plane.slice], True),
        )
