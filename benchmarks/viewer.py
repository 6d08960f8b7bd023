"""Measure the viewer: opening, stages of a run, response, hovering over patches, memory.

    python benchmarks/viewer.py
    python benchmarks/viewer.py --head ixi/T1/IXI012.nii.gz --model ixi-axial --data ixi

A synthetic head by default. Needs a screen (`xvfb-run` is one). The user's settings are
neither read nor written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

# Before napari is imported.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import numpy as np

if TYPE_CHECKING:
    from expert.explanation import Explanation
    from napari_expert.panel.main_widget import ExpertWidget
    from napari_expert.session import Session

SIZE = (1280, 720)
TICK = 5
"""ms between two looks at the event loop."""
MOST = 200
"""Patches pointed at."""
HEAVY = ("torch", "ot", "lightning", "SimpleITK", "matplotlib")
OPEN = """
import sys, time, napari
viewer = napari.Viewer()
before = set(sys.modules)
start = time.perf_counter()
from napari_expert.panel.main_widget import ExpertWidget
viewer.window.add_dock_widget(ExpertWidget(viewer), name="ExPeRT")
seconds = time.perf_counter() - start
print(seconds, *[name for name in {heavy} if name in set(sys.modules) - before])
viewer.close()
"""


class Pulse:
    """Times between ticks of the event loop: while they are long, the window does not respond."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.gaps_ms: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps_ms.append(1000 * (now - self._last))
        self._last = now

    def stop(self) -> np.ndarray:
        """(N,) ms."""
        self._timer.stop()
        return np.array(self.gaps_ms)


def opening() -> tuple[float, list[str]]:
    """Milliseconds to open the panel in a new process, and what of `HEAVY` that imports."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN.format(heavy=HEAVY)], capture_output=True, text=True, check=True
    )
    seconds, *heavy = done.stdout.split()
    return 1000 * float(seconds), heavy


def memory_mb() -> float:
    """What the process holds now."""
    import gc

    import psutil

    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def run(panel: ExpertWidget) -> tuple[dict[str, float], np.ndarray]:
    """From Run to the result: seconds by stage, and gaps of the event loop in ms."""
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    marks: dict[str, float] = {"load": time.perf_counter()}

    def mark(stage: str, fraction: float) -> None:
        marks.setdefault(
            "layers" if stage == "match" and fraction == 1 else stage, time.perf_counter()
        )

    ended: list[float] = []
    pulse = Pulse()
    panel.run()
    assert panel.job is not None
    panel.job.advanced.connect(mark, Qt.ConnectionType.DirectConnection)
    connection = panel.ended.connect(lambda: ended.append(time.perf_counter()))
    # The result is visible after the pending drawing.
    while not ended or time.perf_counter() < ended[0] + 1:
        QApplication.processEvents()
        time.sleep(0.001)
    panel.ended.disconnect(connection)
    if panel.runs.error.text():
        raise SystemExit(panel.runs.error.text())
    moments = [*marks.values(), ended[0]]
    return dict(zip(marks, np.diff(moments), strict=True)), pulse.stop()


def pointing(session: Session, draw: bool) -> np.ndarray:
    """(N,) ms to highlight (`draw`: and draw) the matches of `MOST` patches."""
    from qtpy.QtWidgets import QApplication, QOpenGLWidget

    canvas = next(
        widget
        for widget in QApplication.allWidgets()
        if isinstance(widget, QOpenGLWidget) and widget.isVisible()
    )
    swapped: list[float] = []
    connection = canvas.frameSwapped.connect(lambda: swapped.append(time.perf_counter()))
    places = [
        (tile, patch)
        for tile in range(session.board.tiles)
        for patch in range(len(session.explanation.views[0].mass))
    ]
    out = []
    for tile, patch in places[:: -(-len(places) // MOST)]:
        swapped.clear()
        start = time.perf_counter()
        session.set_focus(tile, patch)
        lit = time.perf_counter()
        while draw and not swapped and time.perf_counter() < start + 2:
            QApplication.processEvents()
        out.append(1000 * ((swapped[0] if draw and swapped else lit) - start))
        QApplication.processEvents()
    canvas.frameSwapped.disconnect(connection)
    session.set_focus(None)
    return np.array(out)


def enlarged(
    explanation: Explanation, grid: tuple[int, int] = (16, 12), top: int = 5
) -> Explanation:
    """The explanation as if its model had more patches: random plans, as diffuse as real ones."""
    generator = np.random.default_rng(1)
    count = int(np.prod(grid))
    views = tuple(
        view.model_copy(
            update={
                "mass": np.full(count, 1 / count),
                "contributions": generator.gamma(2.0, 0.02, (len(explanation.labels), count)),
            }
        )
        for view in explanation.views
    )
    prototypes = []
    for match in explanation.prototypes[:top]:
        matched = []
        for view in match.views:
            plan = np.eye(count) + generator.gamma(0.05, 1.0, (count, count)) * 0.3
            update = {"flow": plan / plan.sum(), "cost": generator.uniform(0, 1, (count, count))}
            matched.append(view.model_copy(update=update))
        prototypes.append(match.model_copy(update={"views": tuple(matched)}))
    return explanation.model_copy(
        update={"views": views, "prototypes": tuple(prototypes), "grid": grid}
    )


def line(name: str, values: np.ndarray) -> None:
    """One row: median, 95 % and longest."""
    print(
        f"{name:34}median {np.median(values):7.1f}   95 % {np.percentile(values, 95):7.1f} "
        f"  longest {values.max():7.1f}  ms"
    )


def measure(head: Path | None, model: str, data: Path | None, runs: int) -> None:
    """Measure and print."""
    import napari

    from expert.datasets.phantom import phantom
    from napari_expert.actions import panel_of
    from napari_expert.api import settle
    from napari_expert.layer_geometry import layer_arguments
    from napari_expert.readers import read

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    panel = panel_of(viewer)
    assert panel is not None
    panel.input.choose_model(model)
    panel.data = data
    pixels, arguments = (
        read(str(head))[0][:2] if head is not None else layer_arguments(phantom(72, 5))
    )
    viewer.add_image(pixels, **arguments)
    settle(1.0)
    seconds, gaps = run(panel)
    for stage, took in seconds.items():
        print(f"Run to result, {stage:19}{took:6.2f} s")
    print(f"Run to result, {'all':19}{sum(seconds.values()):6.2f} s")
    line("event loop during the first run", gaps)
    held = memory_mb()
    _, gaps = run(panel)
    line("event loop during the second run", gaps)
    for _ in range(runs - 2):
        run(panel)
    print(f"{'memory after 1 run':34}{held:.0f} MB")
    print(f"{f'memory after {runs} runs':34}{memory_mb():.0f} MB")
    width = viewer.canvas.size[1]
    print(f"{'canvas at 1280 x 720':34}{width} pixels, {100 * width / SIZE[0]:.0f} % of the width")
    for name, explanation, top in (
        ("{} x {} patches", panel.explanation, 3),
        ("{} x {} patches", None, 5),
    ):
        if explanation is None:
            assert panel.explanation is not None
            if len(panel.explanation.grid) == 3:  # many patches already
                continue
            panel.input.prototypes.value = top
            panel.show_explanation(enlarged(panel.explanation, top=top))
            settle(1.0)
        assert panel.result_layers is not None
        patches = len(panel.session.explanation.views[0].mass)
        label = name.format(len(panel.session.board.prototypes), patches)
        line(f"hovering, {label}", pointing(panel.session, draw=False))
        line("  the same, drawn", pointing(panel.session, draw=True))
    viewer.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--head", type=Path, help="a synthetic head if not given")
    parser.add_argument("--model", default="phantom")
    parser.add_argument(
        "--data", type=Path, help="folder of the data set with the prototypes' images"
    )
    parser.add_argument("--runs", type=int, default=10)
    chosen = parser.parse_args()
    print(f"load of this machine before        {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    took, heavy = opening()
    print(
        f"panel opened, cold                {took:6.0f} ms; heavy imports: "
        f"{', '.join(heavy) or 'none'}"
    )
    measure(chosen.head, chosen.model, chosen.data, chosen.runs)


if __name__ == "__main__":
    main()
