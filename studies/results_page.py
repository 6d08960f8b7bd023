"""The experiments of `docs/results.md`, and the page itself.

`PLAN` lists the experiments. The page is written from the finished folds; parts without any keep
their present text.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expert.errors import InputError
from expert.schema import RESEARCH_USE
from expert.training.recipe import read_recipe
from studies.ablation import Variant
from studies.cross_validation import cross_validate

ROOT = Path(__file__).parents[1]
PAGE, IMAGES = ROOT / "docs" / "results.md", ROOT / "docs" / "images"


@dataclass(frozen=True)
class Part:
    """One section of the page: one recipe on one table."""

    name: str
    recipe: str
    table: str
    variants: tuple[str, ...]
    subjects: int
    """Held-out subjects per fold whose explanations are measured."""
    words: str
    """Introduction of the section."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Changes to the recipe, see `studies.ablation.Variant`."""


WHOLE = (
    "position",
    "average",
    "alignment",
    "own prototypes",
    "published projection",
    "published, relabelled",
    "25 prototypes",
    "50 prototypes",
    "no prediction loss",
    "weights cut at the radius",
    "smaller radius",
    "larger radius",
    "uniform marginals",
)
SLICES = (
    "one plane",
    "position",
    "average",
    "no prediction loss",
    "own prototypes",
    "uniform marginals",
    "published projection",
    "published, relabelled",
    "25 prototypes",
    "50 prototypes",
    "finer grid",
    "smaller radius",
    "larger radius",
    "weights cut at the radius",
)
HEADS = (
    "average",
    "position",
    "no prediction loss",
    "consistency",
    "published projection",
    "published, relabelled",
    "as published",
    "25 prototypes",
    "100 prototypes",
    "finer grid",
    "smaller radius",
)
PLAN = (
    Part(
        "ixi-volume",
        "ixi-volume",
        "ixi",
        (),
        1,
        "Brain age from the whole head (IXI): an ensemble of three networks, with a matching "
        "network.",
    ),
    Part(
        "ixi-volume-one",
        "ixi-volume",
        "ixi",
        WHOLE,
        0,
        "Ablation of `ixi-volume`, with one network instead of three, and the spatial prior of its "
        "first version instead of the matching network (in both trainings, each patch is compared "
        "with the patch at the same position). Each row changes one part. Each row is a single "
        "training; the intervals, over heads, do not include the variation between random seeds.",
        {"architecture.members": 1, "architecture.guide": 0, "architecture.prior": 0.15},
    ),
    Part(
        "ixi-axial",
        "ixi-axial",
        "ixi",
        (),
        12,
        "Brain age from five axial slices (IXI): an ensemble of three networks, with a matching "
        "network.",
    ),
    Part(
        "ixi-axial-one",
        "ixi-axial",
        "ixi",
        SLICES,
        0,
        "Ablation of `ixi-axial`, with one network instead of three. Each row changes one part. "
        "Each row is a single training; the intervals, over heads, do not include the variation "
        "between random seeds.",
        {"architecture.members": 1},
    ),
    Part(
        "fetal-head",
        "fetal-head-1",
        "weeks.csv",
        (),
        8,
        "Version 1 of `fetal-head`, before the head was found first. Weeks derived from the head "
        "circumference, at a fixed number of millimetres per pixel: the size of the head "
        "determines the label, so that the model learns to measure it.",
    ),
    Part(
        "fetal-head-parts",
        "fetal-head-1",
        "weeks.csv",
        HEADS,
        0,
        "Ablation of version 1 of `fetal-head`. Each row changes one part. Each row is a single "
        "training; the intervals do not include the variation between random seeds.",
    ),
    Part(
        "fetal-head-scaled",
        "fetal-head-1",
        "weeks-scaled.csv",
        (),
        8,
        "The same weeks and images, with every head scaled to a circumference of 250 mm, so that "
        "the size does not determine the label. What remains is anatomy, and possibly the image "
        "grain, which scaling makes coarser or finer.",
    ),
)


def run_parts(
    *,
    ixi: Path | None,
    hc18: Path | None,
    out: Path,
    only: Sequence[str] | None = None,
    jobs: int = 1,
    train: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Run the experiments whose table is given, then write the page.

    Parameters
    ----------
    ixi, hc18 : Path or None
        `labels.csv` of the data set; its parts do not run if None.
    out : Path
        Folder for the runs.
    only : sequence of str, optional
        Names of the parts to run; all if None.
    jobs : int
        Folds that run in parallel.
    train : bool
        If False, nothing is trained: the sections are written from the finished folds.
    progress : callable, optional
        Called with the stage and a fraction.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    InputError
        There is no part of that name.
    """
    names = [part.name for part in PLAN]
    for name in only or ():
        if name not in names:
            raise InputError(f"There is no part '{name}': choose one of {', '.join(names)}.")
    tables = _tables(ixi, hc18, out)
    for part in PLAN:
        ready = train or any((out / part.name).rglob("result.json"))
        if ready and part.table in tables and (not only or part.name in only):
            recipe = read_recipe(ROOT / "recipes" / f"{part.recipe}.yaml")
            recipe = Variant(part.name, "", part.changes).of(recipe)
            cross_validate(
                [recipe.model_copy(update={"name": part.name})],
                tables[part.table],
                out / part.name,
                variants=list(part.variants),
                jobs=jobs,
                subjects=part.subjects,
                run=train,
                progress=progress,
            )
    return write_page(out)


def _tables(ixi: Path | None, hc18: Path | None, out: Path) -> dict[str, Path]:
    """The tables by the names that `PLAN` gives them."""
    found = {} if ixi is None else {"ixi": ixi}
    if hc18 is not None:
        folder = out / "hc18"
        script = ROOT / "tools" / "hc18_weeks.py"
        subprocess.run([sys.executable, script, hc18, "--out", folder], check=True)
        found |= {name: folder / name for name in ("weeks.csv", "weeks-scaled.csv")}
    return found


def write_page(out: Path) -> Path:
    """Write the page from the sections of its parts, and copy their plots to `docs/images`.

    Parameters
    ----------
    out : Path
        Folder of the runs.

    Returns
    -------
    Path
        Of the page.
    """
    text = ["# Results", "", RESEARCH_USE, "", "This page is written by", "", "```"]
    text += ["python -m studies results --ixi labels.csv --hc18 labels.csv", "```", ""]
    sections = _sections()
    for part in PLAN:
        made = out / part.name / "results.md"
        if made.exists():
            section = made.read_text(encoding="utf-8").split(f"## {part.name}\n", 1)[1].strip()
            for plot in re.findall(r"\]\(([^)]+\.svg)\)", section):
                shutil.copy(out / part.name / plot, IMAGES / plot)
            sections[part.name] = f"{part.words}\n\n" + re.sub(
                r"\]\(([^)]+\.svg)\)", r"](images/\1)", section
            )
        if part.name in sections:
            text += [f"## {part.name}", "", sections[part.name], ""]
        else:
            print(f"{part.name} has no results yet and is left out.", file=sys.stderr)
    PAGE.write_text("\n".join(text), encoding="utf-8")
    return PAGE


def _sections() -> dict[str, str]:
    """Present sections of the page, by heading."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.exists() else []
    return {name: words.strip() for name, words in (part.split("\n", 1) for part in parts)}
