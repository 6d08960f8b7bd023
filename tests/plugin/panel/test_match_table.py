"""Tests of `napari_expert.panel.match_table`."""

from __future__ import annotations

import pytest

from napari_expert.panel.match_table import COLUMNS, MatchTable
from napari_expert.session import Session


@pytest.fixture
def session():
    return Session()


@pytest.fixture
def table(session, qtbot):
    table = MatchTable(session)
    qtbot.addWidget(table)
    return table


def texts(table, column: int) -> list[str]:
    return [table.item(row, column).text() for row in range(table.rowCount())]


def test_there_is_a_row_for_each_patch_and_prototype(table, session, explanation):
    assert table.rowCount() == 0
    session.show(explanation)
    assert table.rowCount() == 3 * len(session.patches)
    matches = session.board.matches(session.plane.view, session.patches)
    assert sorted(texts(table, 0)) == sorted(str(match.number) for match in matches)
    assert all(share.endswith(" %") for share in texts(table, 3))
    session.clear()
    assert table.rowCount() == 0


def test_it_follows_plane_and_choice_of_patches(table, session, explanation):
    session.show(explanation)
    session.choose_patches("all")
    assert table.rowCount() == 3 * len(session.patches) > 18
    session.show_plane(0)
    matches = session.board.matches(session.plane.view, session.patches)
    assert sorted(texts(table, 5)) == sorted(f"{match.contribution:.2f}" for match in matches)


def test_a_click_locks_the_patch_and_shows_its_prototype(table, session, explanation):
    session.show(explanation)
    row = next(n for n, words in enumerate(texts(table, 2)) if words.startswith("#2"))
    table.selectRow(row)
    assert session.pinned
    assert session.focus.patch == session.patches[int(texts(table, 0)[row]) - 1]
    assert session.partner == 2


def test_hovering_highlights_unless_a_patch_is_locked(table, session, explanation):
    session.show(explanation)
    table.cellEntered.emit(4, 0)
    hovered = session.focus.patch
    assert not session.pinned
    table.selectRow(0)
    locked = session.focus.patch
    table.cellEntered.emit(table.rowCount() - 1, 0)
    assert session.focus.patch == locked != hovered or session.focus.patch == locked


def test_numbers_are_sorted_as_numbers(table, session, explanation):
    session.show(explanation)
    session.choose_patches("all")
    table.sortItems(list(COLUMNS).index("Contribution"))
    values = [float(words) for words in texts(table, 5)]
    assert values == sorted(values)
    table.sortItems(0)
    numbers = [int(words) for words in texts(table, 0)]
    assert numbers == sorted(numbers)
    assert numbers[-1] >= 10
