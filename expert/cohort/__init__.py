"""Predict cohorts: many images into one table, in one process or on a Dask cluster."""

from __future__ import annotations

import importlib
import warnings

FORMER = ("COLUMNS", "FORCE_HINT", "Item", "items", "predict", "predict_one", "predict_table")
"""Names of the former module `expert.cohort`, which is now `expert.cli.batch_prediction`."""


def __getattr__(name: str) -> object:
    if name not in FORMER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"expert.cohort.{name} is now expert.cli.batch_prediction.{name}. The former name will be "
        "removed in version 1.0.",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(importlib.import_module("expert.cli.batch_prediction"), name)
