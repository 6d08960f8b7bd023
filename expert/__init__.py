"""ExPeRT: prototype-based explainable regression for medical images. Research use only. Not for
clinical decisions.

``read_volume`` → ``load_model`` → ``explain`` → ``write_report``. Nothing heavy is imported before
it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expert.bundle import Model, load_model, shipped_models
    from expert.conversion import Facts, convert_checkpoint, read_facts
    from expert.errors import Cancelled, ExpertError, InputError, ModelError, RecipeError
    from expert.explanation import Explanation
    from expert.inference import explain
    from expert.report import write_report
    from expert.tables import write_csv
    from expert.volume import Volume, read_volume, write_volume

__version__ = "0.1.0"

_HOME = {
    "Cancelled": "errors",
    "Explanation": "explanation",
    "ExpertError": "errors",
    "Facts": "conversion",
    "InputError": "errors",
    "Model": "bundle",
    "ModelError": "errors",
    "RecipeError": "errors",
    "Volume": "volume",
    "convert_checkpoint": "conversion",
    "explain": "inference",
    "load_model": "bundle",
    "read_facts": "conversion",
    "read_volume": "volume",
    "shipped_models": "bundle",
    "write_csv": "tables",
    "write_report": "report",
    "write_volume": "volume",
}
_MODULES = (
    "ablation",
    "augmentation",
    "backbone",
    "benchmark",
    "board",
    "bundle",
    "changes",
    "checkpoint",
    "cohort",
    "control",
    "conversion",
    "correspondence",
    "counted",
    "datasets",
    "errors",
    "evaluation",
    "explanation",
    "familiarity",
    "figures",
    "inference",
    "intensity",
    "intervals",
    "layout",
    "losses",
    "matches",
    "measures",
    "model",
    "occlusion",
    "ownspace",
    "pdf",
    "phantom",
    "preparation",
    "projection",
    "recipe",
    "registration",
    "report",
    "results",
    "schema",
    "speaking",
    "strange",
    "tables",
    "template",
    "tissue",
    "training",
    "transport",
    "trust",
    "volume",
)
__all__ = [  # noqa: RUF022
    "read_volume",
    "write_volume",
    "Volume",
    "load_model",
    "shipped_models",
    "Model",
    "explain",
    "Explanation",
    "write_report",
    "write_csv",
    "convert_checkpoint",
    "read_facts",
    "Facts",
    "ExpertError",
    "InputError",
    "ModelError",
    "RecipeError",
    "Cancelled",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"expert.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"expert.{name}")
    raise AttributeError(f"module 'expert' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
