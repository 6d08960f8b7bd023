"""Tests of `expert._moved`: old module names load their present modules."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from expert._moved import MOVED, NAMES, install, public_modules


@pytest.mark.parametrize("old", MOVED)
def test_every_old_name_loads_its_present_module(old):
    sys.modules.pop(f"expert.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"expert.{old} is now"):
        module = importlib.import_module(f"expert.{old}")
    assert module is importlib.import_module(f"expert.{MOVED[old]}")


@pytest.mark.parametrize(("old", "name"), [(old, name) for old in NAMES for name in NAMES[old]])
def test_every_old_function_is_found_in_its_old_module(old, name):
    sys.modules.pop(f"expert.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"expert.{old} is now"):
        module = importlib.import_module(f"expert.{old}")
    home, _, present = NAMES[old][name].rpartition(".")
    assert getattr(module, name) is getattr(importlib.import_module(f"expert.{home}"), present)


def test_unknown_names_are_still_unknown():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("expert.never_there")


def test_a_second_install_changes_nothing():
    before = list(sys.meta_path)
    install()
    assert sys.meta_path == before


def test_the_warning_names_the_line_that_imports():
    code = "import warnings; warnings.simplefilter('error'); import expert.matches"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "DeprecationWarning: expert.matches is now expert.patches" in done.stderr


def test_public_modules_leave_out_private_ones(tmp_path):
    for name in ("one.py", "_two.py", "three.txt"):
        (tmp_path / name).write_text("")
    assert public_modules([str(tmp_path)]) == {"one"}
