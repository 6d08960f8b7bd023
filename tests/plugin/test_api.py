"""Tests of `napari_expert.api`: the window from a program."""

from __future__ import annotations

import pytest
from PIL import Image

from expert.errors import ExpertError, InputError
from napari_expert import api


@pytest.fixture
def opened(make_napari_viewer, monkeypatch):
    """`api.view` with a viewer that the test closes."""
    import napari

    def view(path, *arguments, **settings):
        show = settings.pop("show", False)
        monkeypatch.setattr(
            napari, "Viewer", lambda title, show=show: make_napari_viewer(show=show)
        )
        return api.view(path, *arguments, show=show, **settings)

    panels = []

    def opening(*arguments, **settings):
        viewer, panel = view(*arguments, **settings)
        panels.append(panel)
        return viewer, panel

    yield opening
    for panel in panels:
        panel.close_down()


def test_a_program_opens_an_image_with_a_model_and_waits(opened, head_file):
    viewer, panel = opened(head_file, "phantom", top=2)
    assert panel.job is not None
    api.wait(panel)
    assert panel.job is None
    assert panel.session.board.tiles == 3
    assert len(viewer.layers) == 1 + 3 * 3
    assert panel.data == head_file.parent


def test_it_waits_no_longer_than_asked(opened, head_file):
    _, panel = opened(head_file)
    with pytest.raises(ExpertError, match="No result within 0 s"):
        api.wait(panel, timeout=0)
    panel.run_or_cancel()


def test_an_error_of_the_run_is_raised(opened, head_file):
    _, panel = opened(head_file, run=False)
    panel.runs.show_error("Something is wrong.")
    with pytest.raises(ExpertError, match="Something is wrong"):
        api.wait(panel)


def test_an_image_that_cannot_be_read_opens_no_window(opened, tmp_path):
    (tmp_path / "bad.nii.gz").write_text("no image")
    with pytest.raises(InputError, match=r"bad\.nii\.gz"):
        opened(tmp_path / "bad.nii.gz")


def test_without_a_display_it_says_what_to_do(head_file, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(ExpertError, match="expert explain"):
        api.open_window(head_file)


def test_a_screenshot_shows_the_whole_window(opened, head_file, tmp_path):
    viewer, _ = opened(head_file, run=False, show=True)
    viewer.window.resize(900, 600)
    path = api.screenshot(viewer, tmp_path / "folder" / "window.png")
    with Image.open(path) as image:
        assert image.width >= 900
        assert len(set(image.convert("L").getdata())) > 50
