"""Former module names, which import the present module with a `DeprecationWarning`."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import pkgutil
import sys
import warnings
from collections.abc import Iterable, Sequence
from types import ModuleType

MOVED = {
    "bundle": "model_file",
    "matches": "patches",
    "speaking": "attribution",
    "familiarity": "novelty",
    "ownspace": "imaging.native_space",
    "tissue": "backbone",
    "volume": "imaging.volume",
    "template": "imaging.template",
    "registration": "imaging.registration",
    "preparation": "imaging.preprocessing",
    "intensity": "imaging.bias_field",
    "cohort_arrays": "datasets.prepared_dataset",
    "phantom": "datasets.phantom",
    "recipe": "training.recipe",
    "augmentation": "training.augmentation",
    "projection": "training.projection",
    "guide": "training.guide_module",
    "counted": "training.histogram_cache",
    "runs": "training.run_folder",
    "validation": "training.calibration",
    "tasks": "training.prototype_module",
    "intervals": "evaluation.bootstrap",
    "changes": "evaluation.perturbations",
    "correspondence": "evaluation.matching_quality",
    "trust": "evaluation.fidelity",
    "occlusion": "evaluation.deletion",
    "measures": "evaluation.explanation_metrics",
    "figures": "report.drawings",
    "layout": "report.document",
    "tables": "report.csv_export",
    "conversion": "convert.conversion",
    "checkpoint": "convert.checkpoint_reader",
    "cohort": "cli.batch_prediction",
    "terminal": "cli.console",
}
"""Former module of `expert` → its present one."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last finder: it is only asked for names that do not exist as files."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, module = name.partition(".")
        if package != "expert" or module not in MOVED:
            return None
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """An empty module, which `exec_module` replaces."""

    def exec_module(self, module: ModuleType) -> None:
        present = f"expert.{MOVED[module.__name__.partition('.')[2]]}"
        warnings.warn(
            f"{module.__name__} is now {present}. The former name will be removed in version 1.0.",
            DeprecationWarning,
            stacklevel=6,
        )
        sys.modules[module.__name__] = importlib.import_module(present)


def install() -> None:
    """Make the former names importable; a second call has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def public_modules(path: Iterable[str]) -> set[str]:
    """Names of the public modules and packages in the folders of a package."""
    return {found.name for found in pkgutil.iter_modules(path) if not found.name.startswith("_")}
