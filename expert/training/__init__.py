"""Train a model from a recipe and a table of images."""

import lazy_loader

from expert._moved import public_modules

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=public_modules(__path__),
    submod_attrs={
        "pipeline": ["CollapseWarning", "train"],
        "recipe": ["Recipe", "read_recipe"],
        "splits": ["fold_rows", "split", "split_subjects"],
        "stages": ["fit"],
        "folds": ["trained_fold"],
    },
)
