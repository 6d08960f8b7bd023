"""Make the screenshots of docs/images, on synthetic heads and drawn images only.

    make screenshots, or: xvfb-run -a -s "-screen 0 1600x1000x24" python tools/screenshots.py

The user's settings are neither read nor written. `report.png` needs Poppler's
`pdftoppm`, else it is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before napari is imported.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import numpy as np

if TYPE_CHECKING:
    import napari
    from qtpy.QtCore import QPoint

    from napari_expert.panel.main_widget import ExpertWidget

SIZE = (1400, 880)
AGE, SEED = 72, 5
SUBJECTS, MEASURES_MM = 30, (60.0, 110.0)
ULTRASOUND = """
name: drawn-ultrasound
label_name: long axis of the head
label_unit: mm
label_column: label
dataset: drawn images, made by tools/screenshots.py
licence: none needed
prototype_images: value
start: subjects
calibrate_scale: true
input: {space: image, shape: [96, 128], spacing_mm: 1.25}
architecture: {dimensions: 2, widths: [8, 16], pool: 2, channels: 16, prototypes: 15, radius: 15.0, marginals: content}
warmup: {epochs: 10, learning_rate: 0.01}
schedule: {epochs: 8, batch: 10, views: 1, optimizer: adamw, decay: cosine, validation: 0.0, seed: 3}
losses: {metric: 1.0, sigma: 6.0, leak: 0.05, consistency: 1.0, prediction: 1.0}
projection: {epochs: [0], every: 5, window: 15.0, distinct: true, relabel: true}
card: |
  Measures ellipses in drawn images that resemble ultrasound: an example of plain 2D images only.
"""  # noqa: E501


# --- drawn ultrasound -----------------------------------------------------------------------------
def draw_head(path: Path, length_mm: float, generator: np.random.Generator) -> Path:
    """Draw a speckled sector with a bright ellipse of the given length in it."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    rows, columns = np.mgrid[:96, :128] * 1.25
    angle = generator.uniform(-0.3, 0.3)
    down, right = rows - 60 - generator.uniform(-3, 3), columns - 80 - generator.uniform(-4, 4)
    along, across = (
        right * np.cos(angle) + down * np.sin(angle),
        down * np.cos(angle) - right * np.sin(angle),
    )
    radius = np.hypot(along / (length_mm / 2), across / (0.39 * length_mm))
    tissue = np.where(radius < 1, 0.16, 0.34)
    tissue += 1.1 * np.exp(-(((radius - 1) * length_mm / 2 / 2.2) ** 2))
    tissue += 0.35 * np.exp(-((across / 1.0) ** 2)) * (np.abs(along) < 0.35 * length_mm)
    speckle = gaussian_filter(generator.rayleigh(1.0, rows.shape), (0.6, 1.1))
    sector = np.abs(np.arctan2(columns - 80, rows + 25)) < 0.62
    image = np.clip(tissue * speckle * 150, 0, 255) * sector
    Image.fromarray(image.astype(np.uint8)).save(path)
    return path


def make_ultrasound(folder: Path) -> tuple[Path, Path]:
    """Draw images that resemble ultrasound, and train a model on them."""
    from expert.training.pipeline import train
    from expert.training.recipe import read_recipe

    generator = np.random.default_rng(SEED)
    rows = ["file,label,pixel_size_mm"]
    for number, measure in enumerate(np.linspace(*MEASURES_MM, SUBJECTS)):
        name = draw_head(folder / f"head-{number:02}.png", float(measure), generator).name
        rows.append(f"{name},{measure:.1f},1.25")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    (folder / "recipe.yaml").write_text(ULTRASOUND)
    model = train(
        read_recipe(folder / "recipe.yaml"),
        folder / "table.csv",
        folder / "drawn.safetensors",
        folds=3,
        jobs=1,
    )
    return model, draw_head(folder / "unseen.png", 88.0, generator)


# --- the window -----------------------------------------------------------------------------------
def open_viewer(model: str, theme: str = "dark") -> tuple[napari.Viewer, ExpertWidget]:
    """An empty viewer with the panel."""
    import napari

    from napari_expert.actions import panel_of
    from napari_expert.api import settle
    from napari_expert.panel.settings import Settings

    Settings().save()  # what the window before this one remembered
    viewer = napari.Viewer(title="ExPeRT")
    viewer.theme = theme
    viewer.window.resize(*SIZE)
    panel = panel_of(viewer)
    assert panel is not None
    panel.input.choose_model(model)
    settle()
    return viewer, panel


def open_head(theme: str = "dark", age: int = AGE) -> tuple[napari.Viewer, ExpertWidget]:
    """The same with a synthetic head."""
    from expert.datasets.phantom import phantom
    from napari_expert.layer_geometry import layer_arguments

    viewer, panel = open_viewer("phantom", theme)
    add_head(viewer, *layer_arguments(phantom(age, SEED)), name=f"synthetic head, {age} years")
    return viewer, panel


def add_head(viewer: napari.Viewer, data: np.ndarray, arguments: dict[str, Any], name: str) -> None:
    """A head in the middle of its brain."""
    viewer.add_image(data, **arguments, name=name, colormap="gray")
    viewer.dims.set_point(0, 8.0)


def explain(panel: ExpertWidget) -> None:
    """Run, and wait for the result."""
    from napari_expert.api import settle, wait

    panel.run()
    wait(panel)
    settle(1.0)


def place_of(
    viewer: napari.Viewer, panel: ExpertWidget, tile: int, patch: int
) -> tuple[Any, QPoint]:
    """The canvas, and where in it (Qt pixels) a patch of a tile is drawn in the grid."""
    from qtpy.QtCore import QPoint
    from qtpy.QtWidgets import QOpenGLWidget

    from expert.patches import box

    drawn, session, camera = panel.result_layers, panel.session, viewer.scene.camera
    assert drawn is not None
    canvas = panel.window().findChild(QOpenGLWidget)
    shape = np.array(viewer.canvas.grid.actual_shape(viewer.layers))
    world = np.array(
        drawn.tiles[tile].image.data_to_world(box(session.explanation, patch).mean(axis=0))
    )[-2:]
    size = np.array([canvas.height(), canvas.width()]) / shape
    down, right = (np.array(divmod(tile, shape[1])) + 0.5) * size + (
        world - np.array(camera.center[-2:])
    ) * camera.zoom
    return canvas, QPoint(round(right), round(down))


def point_at(viewer: napari.Viewer, panel: ExpertWidget, tile: int, patch: int) -> None:
    """Move the mouse there."""
    from qtpy.QtCore import QPoint
    from qtpy.QtTest import QTest

    from napari_expert.api import settle

    canvas, place = place_of(viewer, panel, tile, patch)
    QTest.mouseMove(canvas, place + QPoint(3, 3))
    QTest.mouseMove(canvas, place)
    settle()
    if (
        panel.result_layers is None
        or panel.session.focus is None
        or (panel.session.focus.tile, panel.session.focus.patch) != (tile, patch)
    ):
        raise SystemExit(
            f"The mouse points at {panel.result_layers and panel.session.focus}, not at patch "
            f"{patch} of picture {tile}."
        )


def take(viewer: napari.Viewer, path: Path) -> None:
    """A screenshot of the window, small enough for a repository."""
    from napari_expert.api import screenshot

    shrink(screenshot(viewer, path))


def shrink(path: Path) -> None:
    """Keep every fourth of the 256 levels: a third less to store, and not visible."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").point(lambda level: min((level + 2) // 4 * 4, 255))
    small.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} kB")


# --- the pictures ---------------------------------------------------------------------------------
def shoot_running(viewer: napari.Viewer, panel: ExpertWidget, path: Path) -> None:
    """Hold the run at one stage for the screenshot, so that it does not depend on speed."""
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    from napari_expert.api import wait

    held, go_on = threading.Event(), threading.Event()

    def hold(stage: str, fraction: float) -> None:
        if stage == "features" and fraction >= 0.5 and not held.is_set():
            held.set()
            go_on.wait(60)

    panel.run()
    assert panel.job is not None
    panel.job.advanced.connect(hold, Qt.ConnectionType.DirectConnection)
    while not held.is_set() and panel.job is not None:
        QApplication.processEvents()
    take(viewer, path)
    go_on.set()
    wait(panel)


def shoot_head(out: Path, theme: str, ending: str) -> None:
    """One head, from opening it to native space."""
    viewer, panel = open_head(theme)
    take(viewer, out / f"before{ending}.png")
    if theme == "dark":
        shoot_running(viewer, panel, out / "running.png")
    else:
        explain(panel)
    take(viewer, out / f"grid{ending}.png")
    session = panel.session
    if theme == "dark":
        matches = session.board.matches(session.plane.view, session.patches)
        target = next(
            match
            for match in matches
            if match.number == 3 and match.tile == session.board.subjects + 1
        )
        point_at(viewer, panel, target.tile, target.target)
        take(viewer, out / "hover.png")
    session.set_focus(None)
    panel.session.toggle_mode("lines")
    take(viewer, out / f"lines{ending}.png")
    panel.session.toggle_mode("native")
    take(viewer, out / f"native-space{ending}.png")
    if theme == "dark":
        shoot_report(panel, out / "report.png")
    viewer.close()


def shoot_compare(path: Path) -> None:
    """Two heads of one model."""
    from expert.datasets.phantom import phantom
    from napari_expert.layer_geometry import layer_arguments

    viewer, panel = open_head(age=64)
    explain(panel)
    add_head(viewer, *layer_arguments(phantom(AGE, SEED)), name=f"synthetic head, {AGE} years")
    explain(panel)
    panel.compare("previous")
    take(viewer, path)
    viewer.close()


def shoot_any_scanner(out: Path) -> None:
    """A flagged head (a synthetic one, for a model of real heads), and a refused one."""
    from expert.datasets.phantom import phantom
    from expert.errors import ExpertError
    from napari_expert.layer_geometry import layer_arguments

    data, arguments = layer_arguments(phantom(AGE, SEED))
    inverted = np.where(data > 0.05 * data.max(), 1.1 * data.max() - data, 0)
    for name, values in (("flagged", data), ("refused", inverted.astype(np.float32))):
        viewer, panel = open_viewer("brain-age")
        add_head(viewer, values, arguments, name="head")
        if name == "refused":
            with contextlib.suppress(ExpertError):
                explain(panel)
        else:
            explain(panel)
        take(viewer, out / f"{name}.png")
        viewer.close()


def shoot_ultrasound(path: Path, folder: Path) -> None:
    """A plain 2D image with a model of its own."""
    from PIL import Image

    model, image = make_ultrasound(folder)
    viewer, panel = open_viewer(str(model))
    with Image.open(image) as picture:
        viewer.add_image(
            np.asarray(picture), scale=(1.25, 1.25), units=("mm", "mm"), name="drawn image"
        )
    explain(panel)
    panel.session.choose_patches("different")
    take(viewer, path)
    viewer.close()


def shoot_report(panel: ExpertWidget, path: Path) -> None:
    """The first page of the report as it is printed."""
    if shutil.which("pdftoppm") is None:
        print(f"{path} is left out: pdftoppm (poppler-utils) is not installed.")
        return
    with tempfile.TemporaryDirectory() as folder:
        panel.save("report", Path(folder) / "report.pdf")
        page = path.with_suffix("")
        subprocess.run(
            [
                "pdftoppm",
                "-png",
                "-singlefile",
                "-r",
                "110",
                str(Path(folder) / "report.pdf"),
                str(page),
            ],
            check=True,
        )
    shrink(path)


def main() -> None:
    """Make them all, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=("dark", "light", "compare", "scanner", "ultrasound"),
        help="all if not given",
    )
    chosen = parser.parse_args()
    every = ("dark", "light", "compare", "scanner", "ultrasound")
    out, only = chosen.out, set(chosen.only or every)
    out.mkdir(parents=True, exist_ok=True)
    if "dark" in only:
        shoot_head(out, "dark", "")
    if "light" in only:
        shoot_head(out, "light", "-light")
    if "compare" in only:
        shoot_compare(out / "compare.png")
    if "scanner" in only:
        shoot_any_scanner(out)
    if "ultrasound" in only:
        with tempfile.TemporaryDirectory() as folder:
            shoot_ultrasound(out / "ultrasound.png", Path(folder))


if __name__ == "__main__":
    main()
