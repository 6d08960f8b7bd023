"""Tests of `napari_expert.canvas.tile_marks`."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Shapes

from expert.planes import planes
from napari_expert.canvas.panes import make_panes, tile_shape
from napari_expert.canvas.tile_marks import (
    below,
    boxes,
    captions,
    draw_marks,
    elsewhere,
    margins,
    numeral,
    same_shapes,
    write_marks,
)
from napari_expert.side_by_side import Board


@pytest.fixture(scope="module")
def board(solid):
    return Board(solid, top=2)


@pytest.fixture
def three(solid):
    return make_panes(solid, [planes(solid, axis)[20] for axis in range(3)])


def test_three_planes_have_letters_and_positions(board, three):
    marks = captions(board, three, 0, three)
    words = [mark.text for mark in marks]
    assert words[0] == board.title(0, None)
    for letter in "RLAPSI":
        assert letter in words
    assert [pane.plane.name for pane in three] == [word for word in words if " = " in word]
    rows, columns = tile_shape(three)
    for mark in marks:
        row, column = mark.corners.mean(axis=0)
        assert 0 <= column <= columns
        if mark.text in "RLAPSI":
            assert 0 <= row <= rows


def test_the_neurological_convention_changes_letters_but_not_sagittal_ones(board, solid):
    for axis, letter in ((0, "L"), (1, "L"), (2, "A")):
        panes = make_panes(solid, [planes(solid, axis)[20]], neurological=True)
        marks = {
            mark.text: mark.corners.mean(axis=0)[1] for mark in captions(board, panes, 0, panes)
        }
        assert marks[letter] < 0  # beside the image, on the left


def test_a_prototype_in_another_slice_says_so(board, solid):
    here, there = (make_panes(solid, [planes(solid)[n]]) for n in (10, 14))
    title = captions(board, there, 1, here)[0].text
    assert title.endswith(there[0].plane.name)
    assert captions(board, here, 1, here)[0].text == board.title(1, None)


def test_boxes_of_three_planes_are_those_that_the_planes_cut(board, three, solid):
    patch = three[0].patches[10]
    mass = np.zeros(len(solid.views[0].mass))
    mass[patch] = 1.0
    marks = boxes(three, 0.25, [mass], digit=4.0)
    cut = [pane for pane in three if patch in pane.patches]
    outlines = [mark for mark in marks if not mark.text]
    assert len(outlines) == len(cut) >= 1
    assert [mark.text for mark in marks if mark.text] == ["1"] * len(cut)
    assert elsewhere(three, [mass]) == []
    assert elsewhere(three[:1], [np.roll(mass, len(mass) // 2)])


def test_a_number_covers_little_of_a_fine_patch():
    corners = np.array([[0, 0], [0, 8], [8, 8], [8, 0]], dtype=float)
    chip = numeral(corners, 7, (1, 1, 1, 1), 0, 6.0).corners
    inside = np.clip(chip.max(axis=0), 0, 8) - np.clip(chip.min(axis=0), 0, 8)
    assert inside.prod() < 0.2 * 64
    second = numeral(corners, 8, (1, 1, 1, 1), 1, 6.0).corners
    assert second[:, 1].min() == pytest.approx(chip[:, 1].max())


def test_many_fine_patches_have_no_numbers(three, solid):
    shares = list(np.eye(len(solid.views[0].mass))[three[0].patches[:20]])
    for count, digit, numbers in ((12, 6.0, 12), (20, 6.0, 0), (20, 3.0, 20)):
        marks = boxes(three[:1], 0.25, shares[:count], digit)
        assert sum(bool(mark.text) for mark in marks) == numbers
        assert min(mark.width for mark in marks if not mark.text) >= digit / 14


def test_texts_change_without_their_shapes(board, three):
    one, other = captions(board, three, 0, three), captions(board, three, 0, three)
    other[0].text = "changed"
    assert same_shapes(one, other)
    assert not same_shapes(one, one[:-1])
    layer = Shapes(ndim=2)
    draw_marks(layer, one, 8.0)
    assert list(layer.text.values) == [mark.text for mark in one]
    write_marks(layer, other)
    assert list(layer.text.values) == [mark.text for mark in other]
    other[0].corners = other[0].corners + 1
    assert not same_shapes(one, other)


def test_an_average_is_titled_below_the_image_and_above_other_slices(averaged):
    board = Board(averaged)
    panes = make_panes(averaged, [board.planes[len(board.planes) // 2]])
    rows, margin = tile_shape(panes)[0], margins(panes)[1]
    for tile in range(board.tiles):
        marks = {mark.text: mark for mark in captions(board, panes, tile, panes)}
        text = board.average(tile)
        assert (text in marks) == (tile >= board.subjects)
        if tile >= board.subjects:
            assert text == averaged.prototypes[tile - 1].average.text
            assert "image not available" not in marks
            other = np.zeros(len(averaged.views[0].mass))
            other[0] = 1  # of the lowest layer
            (away,) = elsewhere(panes, [other])
            place = marks[text].corners[:, 0].mean()
            assert rows < away.corners[:, 0].mean() < place < rows + below(board, margin)
