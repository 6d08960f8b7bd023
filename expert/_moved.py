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
    "grey_values": "features.grey_values",
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
    "pdf": "report.pdf",
    "tables": "report.csv_export",
    "conversion": "convert.conversion",
    "checkpoint": "convert.checkpoint_reader",
    "terminal": "cli.console",
}
"""Former module of `expert` → its present one."""
NAMES = {
    "registration": {
        "brain_mask": "imaging.brain.brain_mask",
        "missing_brain": "imaging.brain.missing_brain",
        "intensity_range": "imaging.brain.intensity_range",
        "resample_to_template": "imaging.resampling.resample_to_template",
        "resample_to_subject": "imaging.resampling.resample_to_subject",
    },
    "preparation": {
        "misfit": "imaging.preprocessing.incompatibility",
    },
    "intensity": {
        "Grade": "imaging.bias_field.BiasField",
        "grade": "imaging.bias_field.fit_bias_field",
    },
    "familiarity": {
        "SIGNS": "novelty.INDICATORS",
        "unlike_training": "novelty.out_of_distribution_text",
        "Look": "novelty.ImageStatistics",
        "look": "novelty.image_statistics",
        "signs": "novelty.ood_indicators",
        "strangeness": "novelty.ood_score",
        "calibrate_signs": "novelty.calibrate_indicators",
        "score_signs": "novelty.score_indicators",
    },
    "runs": {
        "identity": "training.run_folder.run_fingerprint",
        "belongs": "training.run_folder.matches_run",
        "claim": "training.run_folder.claim_run_folder",
    },
    "validation": {
        "examine": "training.calibration.evaluate_holdout",
        "gather": "training.calibration.aggregate_folds",
        "kept_out": "training.calibration.calibrate_on_holdout",
    },
    "tasks": {
        "RegressionTask": "training.regression_module.RegressionModule",
        "Planes": "training.batches.Planes",
        "WholeSubjects": "training.batches.WholeSubjects",
        "feature_grids": "training.batches.feature_grids",
    },
    "correspondence": {
        "foreground_cells": "patches.foreground_patches",
    },
}
"""Former module → names that left it or were renamed → where they are now."""


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
        old = module.__name__.partition(".")[2]
        present = f"expert.{MOVED[old]}"
        warnings.warn(
            f"{module.__name__} is now {present}. The former name will be removed in version 1.0.",
            DeprecationWarning,
            stacklevel=6,
        )
        found = sys.modules[module.__name__] = importlib.import_module(present)
        for name, place in NAMES.get(old, {}).items():
            home, _, present_name = place.rpartition(".")
            setattr(found, name, getattr(importlib.import_module(f"expert.{home}"), present_name))


def install() -> None:
    """Make the former names importable; a second call has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def public_modules(path: Iterable[str]) -> set[str]:
    """Names of the public modules and packages in the folders of a package."""
    return {found.name for found in pkgutil.iter_modules(path) if not found.name.startswith("_")}
