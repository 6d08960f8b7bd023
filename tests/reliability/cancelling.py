"""Cancel in the window at random moments, and how long the window does not answer.

The functions need a display and a `QApplication`. Time is counted from the moment at which the
button was to be pressed, so that a window that does not answer counts as well.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from helpers.window import state
from qtpy.QtCore import Qt, QThreadPool, QTimer
from qtpy.QtWidgets import QAbstractButton, QApplication

if TYPE_CHECKING:
    import napari

    from expert.explanation import Explanation
    from expert.imaging.volume import Volume
    from napari_expert.panel.fetch_section import FetchSection
    from napari_expert.panel.main_widget import ExpertWidget

LIMIT_S = 1.0
"""Within which Cancel must act."""


@dataclass(frozen=True)
class Presses:
    """What Cancel did in one kind of work."""

    work: str
    seconds: tuple[float, ...]
    """From each press until the panel was ready for the next run."""
    behind: tuple[float, ...]
    """From each press until the work in the other thread had ended."""
    problems: tuple[str, ...]

    @property
    def row(self) -> str:
        """Row of the table."""
        numbers = " | ".join(
            f"{compute(values):.2f}"
            for values in (self.seconds, self.behind)
            for compute in (statistics.median, max)
        )
        return f"| {self.work} | {len(self.seconds)} | {numbers} | {len(self.problems)} |"


@contextmanager
def window(model: str, volume: Volume) -> Iterator[tuple[napari.Viewer, ExpertWidget]]:
    """A window with the panel and an image, closed at the end."""
    import napari

    from napari_expert.layer_geometry import layer_arguments
    from napari_expert.panel.main_widget import ExpertWidget

    viewer = napari.Viewer()
    viewer.window.resize(1280, 720)
    data, arguments = layer_arguments(volume)
    viewer.add_image(data, **arguments, name="image")
    panel = ExpertWidget(viewer)
    viewer.window.add_dock_widget(panel, name="ExPeRT")
    panel.input.choose_model(model)
    try:
        yield viewer, panel
    finally:
        viewer.close()
        wait(idle)


def wait(until: Callable[[], bool], limit_s: float = 300.0) -> None:
    """Handle events until something is so."""
    end = time.monotonic() + limit_s
    while not until():
        if time.monotonic() > end:
            raise TimeoutError("The window did not finish its work.")
        QApplication.processEvents()
        time.sleep(0.001)


def idle() -> bool:
    """No work is going on in another thread."""
    return QThreadPool.globalInstance().activeThreadCount() == 0


class Press:
    """One press of a button after a time, if there still is something to press.

    Parameters
    ----------
    button : callable
        None where there is nothing to press any more.
    after_s : float
    """

    def __init__(self, button: Callable[[], QAbstractButton | None], after_s: float) -> None:
        self.planned = time.monotonic() + after_s
        self.done = False
        self._button, self._timer = button, QTimer()
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._press)
        self._timer.start(round(1000 * after_s))

    def _press(self) -> None:
        found = self._button()
        if found is not None:
            found.click()
            self.done = True

    def give_up(self) -> None:
        """Press no more: the work has ended."""
        self._timer.stop()


def runs(name: str, model: str, volume: Volume, times: int, seed: int = 0) -> Presses:
    """Cancel a run at random moments, each time with nothing computed before."""
    random, seconds, behind, problems = Random(seed), [], [], []
    with window(model, volume) as (viewer, panel):
        wait(idle)
        length = 0.0
        for _ in range(2):  # the first one also loads libraries
            panel.runs.cache = None
            start = time.monotonic()
            panel.run()
            wait(lambda: panel.job is None)
            length = time.monotonic() - start
            if panel.explanation is None:
                raise RuntimeError(f"{name}: {panel.runs.error.text() or panel.input.fit.text()}")
        panel.clear()
        before = state(viewer)
        while len(seconds) < times:
            panel.runs.cache = None
            panel.run()
            press = Press(
                lambda: None if panel.job is None else panel.runs.button,
                random.uniform(0, length),
            )
            wait(lambda: panel.job is None)
            press.give_up()
            if press.done:
                seconds.append(time.monotonic() - press.planned)
                if not (panel.runs.button.isEnabled() and panel.runs.button.text() == "Run"):
                    problems.append("Run was not possible")
            wait(idle)
            if press.done:
                behind.append(time.monotonic() - press.planned)
                print(f"{name}: {seconds[-1]:.2f} s, {behind[-1]:.2f} s", file=sys.stderr)
                if panel.explanation is not None or state(viewer) != before:
                    problems.append("something of the cancelled run is left")
                if panel.runs.error.text():
                    problems.append(panel.runs.error.text())
            else:
                # The run had ended: what it shows is removed for the next one.
                panel.clear()
        panel.run()
        wait(lambda: panel.job is None)
        if panel.explanation is None:
            problems.append("no run is possible afterwards")
    return Presses(name, tuple(seconds), tuple(behind), tuple(problems))


def downloads(section: FetchSection, length_s: float, times: int, seed: int = 0) -> Presses:
    """Cancel a download from a slow server at random moments."""
    random, seconds, behind, problems = Random(seed), [], [], []
    while len(seconds) < times:
        section.ask()
        if not section.download_button.isVisibleTo(section):
            problems.append("no download was offered")
            break
        section.download_button.click()
        press = Press(
            lambda: None if section.job is None else section.cancel_button,
            random.uniform(0, length_s),
        )
        wait(lambda: section.job is None)
        press.give_up()
        if press.done:
            seconds.append(time.monotonic() - press.planned)
            if not section.get_button.isVisibleTo(section):
                problems.append("the download was not offered again")
        wait(idle)
        if press.done:
            behind.append(time.monotonic() - press.planned)
    return Presses("*Get…*", tuple(seconds), tuple(behind), tuple(problems))


def blocked(panel: ExpertWidget, other: Explanation, folder: Path, dicom: Path) -> dict[str, float]:
    """Seconds in which the window does not answer, of work that has no Cancel.

    Parameters
    ----------
    panel : ExpertWidget
        Shows a result.
    other : Explanation
        To compare with.
    folder : pathlib.Path
        For files.
    dicom : pathlib.Path
        Folder of a series.
    """
    saved = other.save(folder / "other.json")
    works: dict[str, Callable[[], object]] = {
        "report, HTML": lambda: panel.save("report", folder / "r.html"),
        "report, PDF": lambda: panel.save("report", folder / "r.pdf"),
        "explanation": lambda: panel.save("explanation", folder / "e.json"),
        "table": lambda: panel.save("table", folder / "t.csv"),
        "map in native space": lambda: panel.save("layers", folder / "m.nii.gz"),
        "*Compare*": lambda: panel.compare("saved", saved),
        "opening a DICOM folder": lambda: panel.viewer.open(str(dicom), plugin="napari-expert"),
    }
    found = {}
    for name, work in works.items():
        start = time.monotonic()
        work()
        QApplication.processEvents()
        found[name] = time.monotonic() - start
        if panel.runs.error.text():
            raise RuntimeError(f"{name}: {panel.runs.error.text()}")
        wait(idle)
    return found
