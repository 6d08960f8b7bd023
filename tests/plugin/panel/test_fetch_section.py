"""Tests of `napari_expert.panel.fetch_section`, with real downloads from this computer."""

from __future__ import annotations

import shutil
import time

import pytest
from helpers.window import over, wait_for_run
from qtpy.QtWidgets import QFileDialog

from expert.datasets.fetching import cache_folder
from napari_expert.panel.fetch_section import FetchSection


@pytest.fixture
def section(qtbot, averaged):
    section = FetchSection()
    qtbot.addWidget(section)
    section.show()
    section.show_matches(averaged.prototypes, averaged.unit)
    return section


def entries(section) -> list[str]:
    return [action.text() for action in section.get_button.menu().actions()]


def buttons(section) -> list[str]:
    every = (
        section.get_button,
        section.folder_button,
        section.download_button,
        section.cancel_button,
    )
    return [button.text() for button in every if button.isVisible()]


def files() -> list:
    """Files, complete or not; locks are empty and stay."""
    every = cache_folder().rglob("*")
    return [path for path in every if path.is_file() and path.suffix != ".lock"]


def test_what_is_missing_is_offered_and_what_cannot_be_had_is_said(section, server, averaged):
    assert section.isVisible()
    assert "are shown as average heads: their own images are not" in section.text.text()
    assert "Images of ds002748 cannot be downloaded" in section.text.text()
    ranks = {match.reference.file[3]: match.rank for match in averaged.prototypes}
    assert entries(section)[0] == "All 2"
    assert sorted(entries(section)[1:]) == sorted(
        [f"#{ranks['a']} · 30 years · IXI", f"#{ranks['b']} · 50 years · IXI"]
    )
    assert buttons(section) == ["Get…", "Choose a folder…"]
    own = [match.model_copy(update={"average": None}) for match in averaged.prototypes]
    section.show_matches(own, "years")
    assert not section.isVisible()
    gone = [match.model_copy(update={"image": None}) for match in own]
    section.show_matches(gone[:1], "years")
    assert section.text.text().startswith("#1 is shown without an image: its own image is not on")
    section.show_matches(averaged.prototypes[:1], "years")
    assert section.text.text().startswith("#1 is shown as an average head: its own image")
    nameless = [match.model_copy(update={"reference": None}) for match in gone]
    section.show_matches(nameless, "years")
    assert "does not refer to them" in section.text.text()
    assert buttons(section) == []


def test_nothing_is_downloaded_before_the_licence_was_shown(section, server, qtbot):
    single = next(a for a in section.get_button.menu().actions() if "30 years" in a.text())
    single.trigger()
    text = section.text.text()
    assert "Download 1 image from 127.0.0.1" in text
    assert "CC BY-SA 3.0" in text
    assert str(cache_folder()) in text
    assert buttons(section) == ["Download", "Cancel"]
    section.cancel_button.click()
    assert buttons(section) == ["Get…", "Choose a folder…"]
    assert not server.requests
    single = next(a for a in section.get_button.menu().actions() if "30 years" in a.text())
    single.trigger()
    percentages = []
    section.progress.valueChanged.connect(percentages.append)
    with qtbot.waitSignal(section.fetched, timeout=10_000):
        section.download_button.click()
        assert buttons(section) == ["Cancel"]
        assert section.progress.isVisible()
    assert [path for path, _ in server.requests] == ["/IXI/T1/a.nii.gz"]
    assert percentages == sorted(percentages)
    assert percentages[-1] == 1000
    over(qtbot)
    assert section.job is None


def test_cancel_acts_at_once_and_the_next_download_goes_on(section, server, qtbot):
    server.pause_s = 0.05
    section.ask()
    section.download_button.click()
    qtbot.waitUntil(lambda: section.progress.value() > 50, timeout=10_000)
    start = time.monotonic()
    section.cancel_button.click()
    assert time.monotonic() - start < 0.3
    assert buttons(section) == ["Get…", "Choose a folder…"]
    assert section.job is None
    over(qtbot)
    assert [path.name for path in files()] == ["a.nii.gz.part"]
    server.pause_s = 0
    section.ask()
    with qtbot.waitSignal(section.fetched, timeout=10_000):
        section.download_button.click()
    assert any(wanted for _, wanted in server.requests)
    assert sorted(path.name for path in files()) == ["a.nii.gz", "b.nii.gz"]


def test_offline_it_is_one_sentence_and_a_folder_can_be_chosen(
    section, empty_cache, tmp_path, qtbot, monkeypatch
):
    section.ask()
    section.download_button.click()
    qtbot.waitUntil(lambda: section.job is None, timeout=20_000)
    problem = section.problem.text()
    assert "could not be downloaded" in problem
    assert problem.count(". ") == 0
    assert buttons(section) == ["Get…", "Choose a folder…"]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    with qtbot.waitSignal(section.folder_chosen) as chosen:
        section.folder_button.click()
    assert chosen.args == [str(tmp_path)]
    assert not files()


def test_the_run_is_repeated_with_the_downloaded_images(
    viewer, dock, head, referring, server, qtbot
):
    panel = dock(viewer, head, referring.file)
    wait_for_run(panel, qtbot)
    board = panel.session.board
    assert sum(match.average is not None for match in board.matches_shown) == 3
    assert "average of 13 people" in board.average(1)
    assert "expert fetch" not in panel.result.warnings.text()
    panel.result.fetch.ask()
    with qtbot.waitSignal(panel.explained, timeout=120_000):
        panel.result.fetch.download_button.click()
    shown = {match.label: match.average for match in panel.session.board.matches_shown}
    assert shown[30] is shown[50] is None
    assert shown[70] is not None
    assert "Images of ds002748" in panel.result.fetch.text.text()
    with qtbot.waitSignal(panel.explained, timeout=120_000):
        panel.result.fetch.folder_chosen.emit(str(referring.data))
    assert all(match.average is None for match in panel.session.board.matches_shown)
    assert not panel.result.fetch.isVisibleTo(panel)


def test_a_result_whose_image_is_closed_is_not_repeated(viewer, dock, averaged, server, qtbot):
    panel = dock(viewer)
    panel.show_explanation(averaged.model_copy(update={"prototypes": averaged.prototypes[:1]}))
    if averaged.prototypes[0].reference.dataset != "IXI":
        two = tuple(m for m in averaged.prototypes if m.reference.dataset == "IXI")
        panel.show_explanation(averaged.model_copy(update={"prototypes": two}))
    panel.result.fetch.ask()
    with qtbot.waitSignal(panel.result.fetch.fetched, timeout=10_000):
        panel.result.fetch.download_button.click()
    qtbot.waitUntil(lambda: panel.result.fetch.job is None, timeout=5000)
    assert panel.job is None
    assert panel.result.fetch.text.text() == "The images were downloaded: press Run to show them."


def test_a_closed_panel_downloads_no_further(viewer, dock, averaged, server, qtbot):
    server.pause_s = 0.05
    panel = dock(viewer)
    panel.show_explanation(averaged)
    section = panel.result.fetch
    section.ask()
    section.download_button.click()
    qtbot.waitUntil(lambda: section.progress.value() > 0, timeout=10_000)
    panel.close_down()
    assert section.job is None
    over(qtbot)
    assert "a.nii.gz" not in [path.name for path in files()]


@pytest.mark.visible
@pytest.mark.parametrize("how", ["window", "clear"])
def test_a_download_that_nobody_sees_any_more_ends(
    viewer, dock, head, averaged, server, qtbot, how
):
    server.pause_s = 0.05
    panel = dock(viewer, head)
    panel.show_explanation(averaged)
    section = panel.result.fetch
    section.ask()
    section.download_button.click()
    job = section.job
    qtbot.waitUntil(lambda: section.progress.value() > 0, timeout=10_000)
    act = viewer.close if how == "window" else panel.clear
    act()
    assert not job.running
    over(qtbot)
    assert "a.nii.gz" not in [path.name for path in files()]
    assert panel.job is None, "no run starts by itself"


def test_what_has_arrived_is_not_said_to_be_missing(section, server, averaged, qtbot):
    section.ask()
    with qtbot.waitSignal(section.fetched, timeout=10_000):
        section.download_button.click()
    qtbot.waitUntil(lambda: section.job is None, timeout=5000)
    came = [m.rank for m in averaged.prototypes if m.reference.dataset == "IXI"]
    (lost,) = [m.rank for m in averaged.prototypes if m.reference.dataset != "IXI"]
    names = ", ".join(f"#{rank}" for rank in came)
    assert section.text.text().startswith(
        f"Downloaded: {names}. Press Run to show them. #{lost} is"
    )
    assert buttons(section) == ["Choose a folder…"]
    shutil.rmtree(cache_folder())
    section.show_matches(averaged.prototypes, averaged.unit)
    assert "Downloaded" not in section.text.text()
    assert "Get…" in buttons(section)
