"""Tests of `napari_expert.panel.match_table`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.evidence.tissue_norms import TissueNorms
from napari_expert.panel.match_table import (
    CONTRIBUTION,
    DIFFERS,
    NUMBER,
    PARTNER,
    REGION,
    SHARE,
    MatchTable,
    listed,
)
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


def contributions(table) -> list[float]:
    return [float(text.replace("−", "-")) for text in texts(table, CONTRIBUTION)]


def test_patches_are_listed_by_their_contribution(table, session, explanation):
    assert table.rowCount() == 0
    session.show(explanation)
    rows = listed(session)
    assert table.rowCount() == len(rows) == len({row[1:] for row in rows})
    assert [row.patch for row in rows[:6]] == session.patches
    values = contributions(table)
    assert [abs(v) for v in values] == sorted((abs(v) for v in values), reverse=True)
    largest = np.abs(session.board.evidence.contributions).max()
    assert abs(values[0]) == pytest.approx(largest, abs=0.006)
    assert {int(text) for text in texts(table, NUMBER) if text} == set(range(1, 7))
    assert all(share.endswith(" %") for share in texts(table, SHARE))
    session.clear()
    assert table.rowCount() == 0


def test_regions_and_partners_are_named(table, session, explanation):
    session.show(explanation)
    row = listed(session)[0]
    line = texts(table, NUMBER).index("1")
    name = session.board.evidence.region_names(row.view, row.patch)[0]
    for word, letters in (("left", "L"), ("right", "R"), ("white matter", "WM")):
        name = name.replace(word, letters)
    assert texts(table, REGION)[line] == name
    tip = table.item(line, REGION).toolTip()
    assert tip.startswith(session.board.evidence.region_names(row.view, row.patch)[0])
    assert table.horizontalHeaderItem(PARTNER).text() == "In #1"
    first = texts(table, PARTNER)
    session.show_partner(session.partner + 1)
    assert table.horizontalHeaderItem(PARTNER).text() == "In #2"
    assert all(texts(table, PARTNER))
    session.show_partner(session.partner - 1)
    assert texts(table, PARTNER) == first


def test_what_differs_is_shown_where_the_model_has_curves(table, session, explanation):
    session.show(explanation)
    assert table.isColumnHidden(DIFFERS)
    mean = np.tile([0.1, 0.5, 0.4], (2, len(explanation.views), len(explanation.views[0].mass), 1))
    norms = TissueNorms(np.array([20.0, 80.0]), mean, 0 * mean)
    session.show(explanation.model_copy(update={"norms": norms.tensors}))
    assert not table.isColumnHidden(DIFFERS)
    assert any(" vs " in text for text in texts(table, DIFFERS))
    assert "people of" in table.item(0, DIFFERS).toolTip()


def test_it_follows_plane_and_choice_of_patches(table, session, explanation):
    session.show(explanation)
    session.choose_patches("all")
    numbers = {int(text) for text in texts(table, NUMBER) if text}
    assert numbers == set(range(1, len(session.patches) + 1))
    assert len(numbers) > 6
    session.show_plane(0)
    assert {row.view for row in listed(session) if row.number} == {0}


def test_a_click_goes_to_the_plane_and_locks_the_patch(table, session, explanation):
    session.show(explanation)
    other = next(row for row in listed(session) if row.view != session.plane.view)
    line = next(
        n
        for n in range(table.rowCount())
        if (table.item(n, 0).data(257), table.item(n, 0).data(256)) == (other.view, other.patch)
    )
    table.selectRow(line)
    assert session.plane.view == other.view
    assert session.pinned
    assert session.focus.patch == other.patch


def test_a_click_goes_to_the_slice_of_a_volume(table, session, volume_explanation):
    session.show(volume_explanation)
    session.show_plane(0)
    table.selectRow(0)
    assert session.pinned
    assert session.focus.patch in session.patches_in_plane()


def test_hovering_highlights_unless_a_patch_is_locked(table, session, explanation):
    session.show(explanation)
    lines = [n for n, text in enumerate(texts(table, NUMBER)) if text]
    table.cellEntered.emit(lines[1], 0)
    assert not session.pinned
    assert session.focus.patch == session.patches[int(texts(table, NUMBER)[lines[1]]) - 1]
    table.selectRow(lines[0])
    locked = session.focus.patch
    table.cellEntered.emit(lines[-1], 0)
    assert session.focus.patch == locked
