"""Importing costs nothing, and the core knows neither Qt nor napari."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import expert

HEAVY = {
    "torch",
    "ot",
    "lightning",
    "SimpleITK",
    "matplotlib",
    "scipy",
    "skimage",
    "napari",
    "qtpy",
    "pandas",
}


CORE = Path(expert.__file__).parent


def imported(statement: str) -> set[str]:
    code = (
        f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_packages_is_light():
    assert not imported("import expert, napari_expert") & HEAVY


def test_asking_for_help_is_light():
    assert not imported("import expert.cli.main") & HEAVY


def test_the_readers_are_light_until_used():
    assert not imported("import napari_expert.readers") & HEAVY


def test_the_panel_loads_matplotlib_only_for_the_first_plot():
    assert "matplotlib" not in imported("import napari_expert.panel.main_widget")


def test_the_core_imports_neither_qt_nor_napari():
    for file in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                assert top not in {
                    "napari",
                    "qtpy",
                    "PyQt6",
                    "PySide6",
                    "magicgui",
                    "napari_expert",
                }, (file, name)
                assert top != "pickle", file


def test_every_public_name_exists():
    for name in dir(expert):
        assert getattr(expert, name) is not None


def test_matching_loads_no_other_array_library(tmp_path):
    """POT would load JAX where it is installed, and JAX takes three quarters of a graphics card."""
    for name in ("jax", "cupy", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__name__} was loaded')")
    code = (
        "import torch; from expert.transport import transport_plan; "
        "print(transport_plan(torch.rand(1, 1, 2, 2)).flow.sum())"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert "tensor(1." in done.stdout


def test_the_panel_opens_without_the_core():
    napari = {"napari", "qtpy", "scipy", "skimage"}
    loaded = imported("import napari_expert.panel.main_widget")
    assert not loaded & ({*HEAVY, "pydicom", "nibabel"} - napari)
    code = "import sys, napari_expert.panel.main_widget; assert 'scipy.ndimage' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
