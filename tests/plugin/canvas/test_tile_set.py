"""Tests of `napari_expert.canvas.tile_set`: tiles without a window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from expert.patches import display
from napari_expert.canvas.tile_set import FORCED, TileSet
from napari_expert.session import CONTRIBUTION, Session
from napari_expert.side_by_side import Board


@pytest.fixture
def session(explanation):
    session = Session()
    session.show(explanation)
    return session


@pytest.fixture
def tiles(session):
    return TileSet(session, ("mm", "mm"))


def alpha(tile) -> np.ndarray:
    return np.asarray(tile.highlight.edge_color)[:, 3]


def test_every_tile_has_three_layers(tiles, session):
    assert len(tiles.tiles) == session.board.tiles == 4
    assert len(tiles.layers) == 12
    assert all(layer.units == tiles.tiles[0].image.units for layer in tiles.layers)


def test_the_layers_of_a_forced_prediction_say_why_it_was_refused(tiles, session, forced):
    assert [layer.metadata[FORCED] for layer in tiles.tiles[0].layers] == ["", "", ""]
    session.show(forced)
    tiles.change(session.board)
    assert [layer.metadata[FORCED] for layer in tiles.tiles[0].layers] == [forced.forced] * 3
    assert all(FORCED not in layer.metadata for tile in tiles.tiles[1:] for layer in tile.layers)


def test_in_the_lines_layout_the_image_is_beside_one_prototype(tiles, session):
    tiles.mode = "lines"
    session.show_partner(2)
    tiles.place()
    assert tiles.slots() == {0: 0, 2: 1}
    assert [tile.image.visible for tile in tiles.tiles] == [True, False, True, False]
    first, second = (tiles.tiles[n].image.data_to_world((0, 0))[-1] for n in (0, 2))
    assert second - first == pytest.approx(tiles.pitch())
    wide = tiles.extent()[1][1] - tiles.extent()[0][1]
    tiles.mode = "grid"
    tiles.place()
    assert all(tile.image.visible for tile in tiles.tiles)
    assert wide - (tiles.extent()[1][1] - tiles.extent()[0][1]) == pytest.approx(tiles.pitch())


def test_the_other_convention_mirrors_every_tile(tiles, session):
    before = [tile.image.data.copy() for tile in tiles.tiles]
    session.toggle_convention()
    tiles.draw_images()
    for old, tile in zip(before, tiles.tiles, strict=True):
        assert old.any()
        np.testing.assert_array_equal(tile.image.data, old[:, ::-1])
    # Patches, numbers and letters are mirrored with it; what is under the mouse is so, too.
    tiles.draw(8.0, 1.0)
    patch = session.patches[0]
    middle = tiles.panes[0][0].corners(patch).mean(axis=0)
    drawn = [
        np.asarray(corners).mean(axis=0)
        for corners, word in zip(
            tiles.tiles[0].boxes.data, tiles.tiles[0].boxes.features["text"], strict=True
        )
        if not word
    ]
    assert any(np.allclose(middle, found, atol=0.1) for found in drawn)
    assert tiles.panes[0][0].patch(middle) == patch


def test_a_patch_that_is_pointed_at_is_highlighted_by_its_shares(tiles, session):
    patch = session.patches[0]
    session.set_focus(0, patch)
    tiles.highlight()
    for shares, tile in zip(session.focus.shares, tiles.tiles, strict=True):
        shown = shares[session.patches_in_plane()]
        np.testing.assert_allclose(
            alpha(tile), np.where(shown > 0.01, 0.1 + 0.55 * shown, 0), atol=1e-5
        )
    session.set_focus(None)
    session.set_map(None)
    tiles.highlight()
    assert not any(alpha(tile).any() for tile in tiles.tiles)


def test_the_map_is_drawn_on_the_image_only_and_a_focus_hides_it(tiles, session):
    session.set_map(CONTRIBUTION)
    tiles.highlight()
    assert alpha(tiles.tiles[0]).any()
    assert not any(alpha(tile).any() for tile in tiles.tiles[1:])
    session.set_focus(1, 0)
    tiles.highlight()
    assert alpha(tiles.tiles[1])[0] > 0.6


def test_another_board_of_the_same_kind_is_drawn_in_the_same_layers(tiles, explanation):
    view = explanation.views[0]
    darker = view.model_copy(update={"image": view.image // 2})
    other = explanation.model_copy(update={"views": (darker, *explanation.views[1:])})
    board, layers = Board(other, top=3), tiles.layers
    assert tiles.fits(board)
    tiles.session.show_plane(0)
    tiles.change(board)
    assert tiles.layers == layers
    wanted = display(board.image(0, tiles.session.plane), True)
    np.testing.assert_array_equal(tiles.tiles[0].image.data, wanted)
    assert not tiles.fits(Board(explanation, top=2))


@pytest.fixture
def volume(solid):
    session = Session()
    session.show(solid)
    return TileSet(session, ("mm", "mm"))


def cross(tiles, number) -> np.ndarray:
    """Vectors of the crosshair that are to be seen."""
    panes = tiles.panes[number]
    rest = np.asarray(tiles.tiles[number].highlight.data)[sum(len(p.patches) for p in panes) :]
    return rest[np.abs(rest[:, 1]).max(axis=1) > 0.1]


def test_three_planes_of_the_image_and_one_prototype(volume, solid):
    volume.session.show_mode("planes")
    volume.mode = "planes"
    volume.draw_images()
    volume.draw(8.0, 1.0)
    assert volume.visible() == [0, 1]
    assert [tile.image.visible for tile in volume.tiles] == [True, True, False]
    for number, whole in ((0, solid.views[0].image), (1, solid.prototypes[0].image)):
        panes = volume.panes[number]
        assert [pane.plane.axis for pane in panes] == [0, 1, 2]
        for pane in panes:
            (top, left), (rows, columns) = pane.place, pane.shape
            part = volume.tiles[number].image.data[top : top + rows, left : left + columns]
            np.testing.assert_array_equal(part, pane.pixels(whole))
    volume.session.show_partner(2)
    assert volume.visible() == [0, 2]


def test_the_crosshair_is_at_its_place_in_every_pane(volume, solid):
    session = volume.session
    session.show_mode("planes")
    volume.mode = "planes"
    patch = int(solid.views[0].mass.argmax())
    session.set_focus(0, patch, pin=True)
    volume.draw_images()
    volume.draw(8.0, 1.0)
    for number in volume.visible():
        drawn, panes = cross(volume, number), volume.panes[number]
        voxel = session.viewing.points[number]
        for pane in panes:
            assert pane.plane.slice == round(voxel[pane.plane.axis])
            inside = [row for row in drawn if pane.holds(row[0] + row[1] / 2)]
            row, column = pane.point(voxel)
            middles = np.array([start + along / 2 for start, along in inside])
            on = np.isclose(middles, [row, column], atol=0.1)
            assert on.any(axis=1).all()  # every piece lies on one of the two lines
            assert on[:, 0].sum() >= 2
            assert on[:, 1].sum() >= 2
    before = [cross(volume, number) for number in volume.visible()]
    session.viewing.toggle_cross()
    volume.draw_cross(1.0)
    assert all(len(drawn) for drawn in before)
    assert not any(len(cross(volume, number)) for number in volume.visible())


def test_a_tile_of_the_grid_gets_the_crosshair_with_the_first_click(volume, solid):
    volume.draw(8.0, 1.0)
    assert not len(cross(volume, 0))
    volume.session.set_focus(0, int(solid.views[0].mass.argmax()), pin=True)
    volume.draw_images()
    volume.draw(8.0, 1.0)
    for number in range(3):
        assert len(cross(volume, number))
        place = round(volume.session.viewing.points[number][0])
        assert volume.panes[number][0].plane.slice == place


@pytest.mark.parametrize("mode", ["grid", "planes"])
def test_what_is_under_the_mouse(volume, solid, mode):
    volume.session.show_mode(mode)
    volume.mode = mode
    volume.draw_images()

    viewer = ViewerModel()
    viewer.layers.extend(volume.layers)
    viewer.canvas.grid.stride, viewer.canvas.grid.enabled = 3, True
    viewer.canvas.grid.shape = (1, len(volume.visible()))
    for number, pane in enumerate(volume.panes[1]):
        point = np.add(pane.place, (12.0, 17.0))
        place = volume.tiles[1].image.data_to_world(point)[-2:]
        event = SimpleNamespace(viewbox=(0, 1), position=(0.0, *place))
        spot = volume.spot_under(viewer, event)
        assert (spot.tile, spot.axis) == (1, number)
        np.testing.assert_allclose(spot.voxel, pane.voxel(point), atol=1e-4)
        assert spot.patch == pane.patch(point)


def test_the_magnifier_shows_the_matches_of_the_locked_patch(tiles, session):
    """In 2D views, it follows the patch."""
    whole = tiles.size()
    session.viewing.toggle_magnifier()
    tiles.draw_images()
    np.testing.assert_array_equal(tiles.size(), whole)  # there is nothing to magnify yet
    session.set_focus(0, session.patches[0], pin=True)
    tiles.draw_images()
    tiles.draw(8.0, 1.0)
    assert (tiles.size() < 0.7 * whole).all()
    for number, shares in enumerate(session.focus.shares):
        pane = tiles.panes[number][0]
        corners = pane.corners(int(shares.argmax()))
        assert corners is not None
        assert pane.holds(corners.mean(axis=0))


def test_lines_start_at_the_numbered_patches(tiles, session):
    tiles.mode = "lines"
    tiles.place()
    lines = list(tiles.lines())
    assert len(lines) >= len(session.patches)
    session.set_focus(0, session.patches[0])
    assert 1 <= len(list(tiles.lines())) < len(lines)
