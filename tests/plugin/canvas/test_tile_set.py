"""Tests of `napari_expert.canvas.tile_set`: tiles without a window."""

from __future__ import annotations

import numpy as np
import pytest

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
    def side(tile):  # world column of the first and of the last column
        return [tile.image.data_to_world((0, n))[-1] for n in (0, tile.image.data.shape[1])]

    before = [side(tile) for tile in tiles.tiles]
    session.toggle_convention()
    tiles.place()
    for old, tile in zip(before, tiles.tiles, strict=True):
        assert np.sign(np.diff(side(tile))) == -np.sign(np.diff(old))


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


def test_lines_start_at_the_numbered_patches(tiles, session):
    tiles.mode = "lines"
    tiles.place()
    lines = list(tiles.lines())
    assert len(lines) >= len(session.patches)
    session.set_focus(0, session.patches[0])
    assert 1 <= len(list(tiles.lines())) < len(lines)
