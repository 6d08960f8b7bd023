"""Tests of `napari_expert.panel.series_choice`."""

from __future__ import annotations

import pytest
from helpers.dicom_files import changed, series, write

from napari_expert.panel.series_choice import SeriesChoice


@pytest.fixture
def folder(tmp_path):
    """A scout, a T1 and a T2."""
    files = [
        *series(SeriesNumber=1, SeriesDescription="scout")[:3],
        *series(SeriesNumber=2, SeriesDescription="T1"),
        *changed(series(SeriesNumber=3, SeriesDescription="T2")),
    ]
    return write(tmp_path / "exam", files)


def test_the_series_of_a_folder_are_offered_and_one_is_opened(viewer, empty_panel, folder):
    choice = empty_panel.input.series
    assert choice.isHidden()
    viewer.open(str(folder), plugin="napari-expert")
    assert len(viewer.layers) == 0
    assert not choice.isHidden()
    assert choice.text.text() == "exam contains 3 DICOM series: choose one."
    offered = [choice.box.itemText(n).split(";")[0] for n in range(3)]
    assert offered == ["2  T1", "3  T2", "1  scout"]
    choice.box.setCurrentIndex(1)
    choice.button.click()
    assert choice.isHidden()
    (layer,) = viewer.layers
    assert layer.data.shape == (14, 11, 9)
    assert "DICOM series 3 was read, one of 3" in empty_panel.input.fit.text()


def test_a_series_that_cannot_be_read_is_reported(viewer, empty_panel, folder):
    viewer.open(str(folder), plugin="napari-expert")
    choice = empty_panel.input.series
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    choice.button.click()
    assert "incomplete" in choice.text.text()
    assert len(viewer.layers) == 0


def test_a_folder_that_changed_is_offered_again(viewer, folder):
    from expert.errors import SeriesChoiceError
    from expert.imaging.dicom import list_series

    def read(number):
        raise SeriesChoiceError("No such series.", list_series(folder)[1:])

    choice = SeriesChoice(viewer)
    choice.offer("exam", list_series(folder), read)
    choice.open_chosen()
    assert choice.box.count() == 2


def test_cancel_opens_nothing_and_the_folder_can_be_opened_again(viewer, empty_panel, folder):
    choice = empty_panel.input.series
    viewer.open(str(folder), plugin="napari-expert")
    choice.cancel_button.click()
    assert choice.isHidden()
    assert len(viewer.layers) == 0
    viewer.open(str(folder), plugin="napari-expert")
    assert not choice.isHidden()
    choice.button.click()
    assert len(viewer.layers) == 1
