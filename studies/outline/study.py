"""Train and measure the outline network, with cross-validation and on all images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from expert.datasets.prepared_dataset import prepare_entry, prepared_file
from expert.datasets.table import read_table
from expert.imaging.outline_network import FILE, OutlineNetwork, read_outline_network
from expert.schema import RESEARCH_USE
from expert.training.recipe import read_recipe
from studies.outline.examples import Outlines, Sources, folds, read_outlines
from studies.outline.measure import Found, held_out, refused
from studies.outline.training import train_outline

FOLDS = 5
RECIPE = Path(__file__).parents[2] / "recipes" / "fetal-head.yaml"


def hadlock(circumference_cm: float) -> float:
    """Gestational age in weeks for a head circumference in cm (Hadlock et al., AJR 143, 1984)."""
    return 8.96 + 0.540 * circumference_cm + 0.0003 * circumference_cm**3


def train_all(
    data: Path, out: Path, *, steps: int, seed: int
) -> tuple[Outlines, list[np.ndarray], list[OutlineNetwork]]:
    """Networks of all folds, then that of all images, which is ``out / FILE``.

    Parameters
    ----------
    data : pathlib.Path
        Folder with `hc18` and `ixi`.
    out : pathlib.Path
        Folder of the run; finished networks are read from it.
    steps, seed : int

    Returns
    -------
    table : Outlines
    held_out : list of (N,) ndarray
        Rows that each fold's network has not seen.
    networks : list of OutlineNetwork
    """
    table = read_outlines(data / "hc18")
    held_out = folds(table.exams, FOLDS, seed)
    every, networks = np.arange(len(table.files)), []
    for number, rows in enumerate([*held_out, np.array([], int)]):
        last = number == FOLDS
        target = out / (FILE if last else f"fold{number}.safetensors")
        sources = None
        if not target.exists():
            kept = table.subset(np.setdiff1d(every, rows))
            sources = Sources(data / "hc18", kept, data, seed + number)
        networks.append(train_outline(sources, target, steps=steps, seed=seed + number))
    return table, held_out, networks[:FOLDS]


def run_study(
    data: Path,
    out: Path,
    table: Path | None = None,
    *,
    steps: int,
    seed: int,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Train, measure, and prepare the images of a table by networks that have not seen them.

    Parameters
    ----------
    data, out : pathlib.Path
        As in `train_all`.
    table : pathlib.Path, optional
        Of `expert train`; its images are prepared in ``out / "prepared"``.
    steps, seed : int
    progress : callable, optional

    Returns
    -------
    pathlib.Path
        The page with the measures.
    """
    report = progress or (lambda stage, done: None)
    outlines, parts, networks = train_all(data, out, steps=steps, seed=seed)
    found = held_out(data / "hc18", outlines, parts, networks, report)
    if table is not None:
        _prepare(table, out / "prepared", outlines, found)
    kept = [one for one in found.values() if not one.outline.refusal]
    circumference = outlines.circumference_mm[list(found)]
    weeks = np.array([hadlock(one.outline.circumference / 10) for one in found.values()])
    error = np.abs(weeks - np.array([hadlock(c / 10) for c in circumference]))
    rows = {
        "images, refused": f"{len(found)}, {len(found) - len(kept)}",
        "Dice coefficient": _spread([one.dice for one in kept], 3),
        "Hausdorff distance, mm": _spread([one.hausdorff_mm for one in kept], 1),
        "error of the circumference, mm, absolute": _spread([abs(o.error_mm) for o in kept], 1),
        "error of the circumference, mm, with its sign": _spread([o.error_mm for o in kept], 1),
        "error of the angle, °, absolute": _spread([abs(o.angle_deg) for o in kept], 1),
        "weeks from the circumference found, MAE": f"{error.mean():.2f} (all images)",
    }
    lines = ["| measure | held-out images not refused, mean (5th – 95th percentile) |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    lines += ["", "| images without a head | refused |", "|---|---|"]
    for kind, (count, every) in refused(
        data, read_outline_network(str(out / FILE)), seed + 99
    ).items():
        lines.append(f"| {kind} | {count} of {every} |")
    page = out / "head-outline.md"
    page.write_text("\n".join([*lines, "", RESEARCH_USE, ""]), encoding="utf-8")
    return page


def _spread(values: list[float], digits: int) -> str:
    if not values:
        return "all refused"
    low, high = np.percentile(values, [5, 95])
    return f"{np.mean(values):.{digits}f} ({low:.{digits}f} – {high:.{digits}f})"


def _prepare(table: Path, folder: Path, outlines: Outlines, found: dict[int, Found]) -> None:
    """Prepare images for a cross-validation, each by the outline found without its annotation."""
    recipe = read_recipe(RECIPE)
    folder.mkdir(parents=True, exist_ok=True)
    rows = {Path(name).name: row for row, name in enumerate(outlines.files)}
    for entry in read_table(table, label_column=recipe.label_column):
        outline = found[rows[entry.file.name]].outline
        target = prepared_file(entry, recipe.input, folder)
        prepare_entry(entry, recipe.input, target, outline)
