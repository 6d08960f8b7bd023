"""Small images of squares whose brightness is their label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from expert.training.recipe import Recipe


def draw_squares(folder: Path, number: int, seed: int) -> Path:
    """A table of small images whose brightness is their label."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    rows = ["file,label,pixel_size_mm"]
    for n in range(number):
        label = 10 + 80 * n / (number - 1)
        image = np.zeros((32, 32))
        image[6:26, 6:26] = label * 2.5 + generator.normal(0, 4, (20, 20))
        image[0, 0] = 255  # the scale is each image's own: one bright corner fixes it
        image[0, 1] = 255
        image[1, :6] = 255
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"square-{n:02}.png")
        rows.append(f"square-{n:02}.png,{label:.2f},1.0")
    table = folder / "table.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def changed(recipe: Recipe, **changes) -> Recipe:
    document = recipe.model_dump()
    for name, value in changes.items():
        document[name] = {**document[name], **value} if isinstance(value, dict) else value
    return Recipe.model_validate(document)
