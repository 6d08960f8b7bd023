"""A training in double precision: rounding does not hide a difference between two trainings.

In single precision, Adam's first steps have the sign of gradients that are only rounding.

    python exact_training.py RECIPE TABLE OUT DEVICES
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def main() -> None:
    from expert.training import stages
    from expert.training.pipeline import train
    from expert.training.recipe import read_recipe

    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = lambda self: self.double()  # type: ignore[method-assign]
    usual = stages.trainer_settings
    stages.trainer_settings = lambda: {**usual(), "precision": "64-true"}
    recipe, table, out, devices = sys.argv[1:]
    train(read_recipe(recipe), table, Path(out), devices=int(devices), jobs=1)


if __name__ == "__main__":
    main()
