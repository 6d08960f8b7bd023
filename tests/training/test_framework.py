"""Tests of `expert.training.framework`: what works without Lightning."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = "import sys; sys.modules['lightning'] = None\n"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True)


def test_training_says_how_to_install_what_it_needs(tiny_recipe, squares, tmp_path):
    command = [
        "expert",
        "train",
        tiny_recipe,
        "--data",
        squares,
        "--out",
        tmp_path / "m.safetensors",
    ]
    done = run(f"from expert.cli.main import app; sys.argv = {list(map(str, command))}; app()")
    assert done.returncode == 1
    assert done.stderr == (
        'Error: Training needs the package lightning: pip install "napari-expert[train]".\n'
    )


def test_explaining_needs_no_training_package():
    done = run(
        "from expert.model_file import load_model\n"
        "import expert.inference\n"
        "assert load_model('phantom').network is not None\n"
        "print({'monai', 'torchmetrics', 'lightning_utilities'} & set(sys.modules))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "set()\n"
