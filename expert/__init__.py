"""ExPeRT: prototype-based explainable regression for medical images.

``read_volume`` → ``load_model`` → ``explain`` → ``write_report``. Modules are imported on first
use. Research use only. Not for clinical decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

from expert import _moved

if TYPE_CHECKING:
    from expert.convert.conversion import convert_checkpoint
    from expert.convert.facts import Facts, read_facts
    from expert.errors import Cancelled, ExpertError, InputError, ModelError, RecipeError
    from expert.explanation import Explanation
    from expert.imaging.volume import Volume, read_volume, write_volume
    from expert.inference import explain
    from expert.model_file import Model, load_model, shipped_models
    from expert.prototype_matching import explain_prototypes
    from expert.report.csv_export import write_csv
    from expert.report.report import write_report

__version__ = "0.1.0"
DEFAULT_MODEL = "brain-age"
"""The model that commands and panel take unless another one is chosen: for whole heads."""

_moved.install()
__getattr__, _, _ = lazy_loader.attach(
    __name__,
    submodules=_moved.public_modules(__path__) | _moved.MOVED.keys(),
    submod_attrs={
        "convert.conversion": ["convert_checkpoint"],
        "convert.facts": ["Facts", "read_facts"],
        "errors": ["Cancelled", "ExpertError", "InputError", "ModelError", "RecipeError"],
        "explanation": ["Explanation"],
        "imaging.volume": ["Volume", "read_volume", "write_volume"],
        "inference": ["explain"],
        "model_file": ["Model", "load_model", "shipped_models"],
        "prototype_matching": ["explain_prototypes"],
        "report.csv_export": ["write_csv"],
        "report.report": ["write_report"],
    },
)
# In the order of use.
__all__ = [  # noqa: RUF022
    "read_volume", "write_volume", "Volume", "load_model", "shipped_models", "Model", "explain",
    "explain_prototypes", "Explanation", "write_report", "write_csv", "convert_checkpoint",
    "read_facts", "Facts",
    "ExpertError", "InputError", "ModelError", "RecipeError", "Cancelled", "DEFAULT_MODEL",
    "__version__",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted({*__all__, *_moved.public_modules(__path__)})
