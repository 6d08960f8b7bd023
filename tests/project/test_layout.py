"""Every module has a file of tests named after it, and every file of tests a module."""

from __future__ import annotations

import tomllib
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
FOLDERS = {"expert": ".", "napari_expert": "plugin", "studies": "studies"}
"""Package: its folder in tests."""
WITHOUT = {
    "__init__.py",
    "__main__.py",
}
"""Files without tests of their own."""


def expected() -> dict[Path, Path]:
    """File of tests: its module. A private module's leading underscore is left out."""
    out = {}
    for package, folder in FOLDERS.items():
        for module in (ROOT / package).rglob("*.py"):
            if module.name not in WITHOUT:
                place = TESTS / folder / module.relative_to(ROOT / package).parent
                out[(place / f"test_{module.name.lstrip('_')}").resolve()] = module
    return out


def test_every_module_has_tests():
    missing = {
        str(module.relative_to(ROOT)) for file, module in expected().items() if not file.exists()
    }
    assert not missing


def test_every_file_of_tests_has_a_module():
    known = {*expected(), *(TESTS / "project").glob("*.py"), TESTS / "plugin" / "test_manifest.py"}
    known |= {TESTS / "fuzzing" / "test_targets.py", *(TESTS / "reliability").glob("*.py")}
    assert not {file for file in TESTS.rglob("test_*.py") if file.resolve() not in known}


def test_studies_are_not_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["expert", "napari_expert"]
