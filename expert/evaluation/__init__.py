"""Evaluation of a trained model: accuracy of its predictions, quality of its explanations."""

import lazy_loader

from expert._moved import public_modules

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=public_modules(__path__),
    submod_attrs={
        "accuracy": ["Evaluation", "distinct_prototypes", "evaluate", "prototype_subjects"],
        "metrics": ["Errors", "errors", "bias_corrected", "bias_line", "collapse"],
    },
)
