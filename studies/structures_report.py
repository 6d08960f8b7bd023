"""Run the study of matched structures with the folds of a training, and write its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studies.structures import (
    SHIFT_MM,
    TURN_DEG,
    badly_registered,
    carried_labels,
    deformed_phantoms,
    region_names,
    template_labels,
)

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.schema import InputSettings


def run_study(
    table: Path,
    run: Path,
    recipe_path: Path,
    data: Path,
    out: Path,
    *,
    pairs: int = 200,
    phantoms: int = 20,
    heads: int = 60,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Measure all three with the folds of a training, and write a table.

    Parameters
    ----------
    table, run, recipe_path : pathlib.Path
        Of a training by `expert train` with 5 folds.
    data : pathlib.Path
        Folder of IXI, with `dlmuse`.
    out : pathlib.Path
        Markdown file to write.
    pairs, phantoms, heads : int
        Number of pairs of heads for the region labels, of painted heads, and of badly registered
        heads.
    progress : callable, optional
        Called with a stage and a fraction, 0 to 1.

    Returns
    -------
    pathlib.Path
        `out`.
    """
    from expert.training.folds import trained_fold
    from expert.training.recipe import read_recipe

    report = progress or (lambda stage, fraction: None)
    recipe, names = read_recipe(recipe_path), region_names(data)
    folds = [trained_fold(recipe, table, run, fold, 5) for fold in range(5)]
    network, training, held_out = (
        folds[0][0].network.eval().requires_grad_(False),
        folds[0][1],
        folds[0][2],
    )
    generator = np.random.default_rng(1)
    parts = [_labelled(cohort, data, recipe.input) for cohort in (held_out, training)]
    report("phantoms", 0.1)
    labels = parts[0][1][:phantoms]
    apart = deformed_phantoms(network, labels, names, recipe.input.spacing_mm)
    report("labels", 0.3)
    own, others = (len(part[1]) for part in parts)
    chosen = [(generator.integers(own), own + generator.integers(others)) for _ in range(pairs)]
    both = _joined(parts[0][0], parts[1][0])
    dice = carried_labels(
        network, both, np.concatenate([part[1] for part in parts]), names,
        [(int(one), int(other)) for one, other in chosen],
    )  # fmt: skip
    report("registration", 0.6)
    errors = badly_registered(
        (
            (module.network.eval().requires_grad_(False), held.select(np.arange(heads // 5)))
            for module, _, held in folds
        ),
        recipe.input,
    )
    out.write_text(page(apart, dice, errors), encoding="utf-8")
    return out


def _labelled(
    cohort: CohortArrays, data: Path, settings: InputSettings
) -> tuple[CohortArrays, np.ndarray]:
    """The heads of a cohort that have region labels, and these."""
    known = {file.name.split("_DLMUSE")[0] for file in (data / "dlmuse").glob("*_DLMUSE.nii.gz")}
    rows = [n for n, e in enumerate(cohort.entries) if e.file.name.split(".")[0] in known]
    chosen = cohort.select(np.array(rows))
    files = [entry.file for entry in chosen.entries]
    return chosen, template_labels(files, chosen.transforms, data, settings)


def _joined(one: CohortArrays, other: CohortArrays) -> CohortArrays:
    return replace(
        one,
        images=np.concatenate([one.images, other.images]),
        content=np.concatenate([one.content, other.content]),
        labels=np.concatenate([one.labels, other.labels]),
        transforms=np.concatenate([one.transforms, other.transforms]),
        quality=np.concatenate([one.quality, other.quality]),
        entries=(*one.entries, *other.entries),
    )


def page(apart: np.ndarray, dice: dict[str, np.ndarray], errors: np.ndarray) -> str:
    """The report as Markdown.

    Parameters
    ----------
    apart : (N, 2) ndarray
        From `deformed_phantoms`.
    dice : dict
        From `carried_labels`.
    errors : (N, 4) ndarray
        From `badly_registered`.

    Returns
    -------
    str
    """
    from expert.evaluation.bootstrap import mean_interval

    def row(name: str, pairs: np.ndarray, digits: int) -> str:
        plan, position = pairs.mean(0)
        low, high = mean_interval(pairs[:, 0] - pairs[:, 1])
        change = plan - position
        return (
            f"| {name} | {len(pairs)} | {plan:.{digits}f} | {position:.{digits}f} "
            f"| {change:+.{digits}f} ({low:+.{digits}f} – {high:+.{digits}f}) |"
        )

    lines = [
        "| measure | N | transport | position | difference (95 %) |",
        "|---|---|---|---|---|",
        row("distance from the true partner in deformed painted heads, mm", apart, 2),
        *(row(f"Dice of carried labels, {name}", values, 3) for name, values in dice.items()),
        row("error, registered well", errors[:, :2], 2),
        row(f"error, registered {SHIFT_MM:.0f} mm and {TURN_DEG:.0f}° off", errors[:, 2:], 2),
    ]
    return "\n".join(lines) + "\n"
