"""Run every experiment of `docs/results.md` and write that page: hours on two cores; a run that was
killed goes on.

    python tools/results.py --ixi ../shared/data/ixi/labels.csv --hc18
    ../shared/data/hc18/labels.csv

What was run, and with which of its many variants, is `PLAN`. `--only ixi-volume` runs one part, and
leaves of the others what the page says; `--page` runs nothing and writes the page from the folds
that are finished.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expert.schema import RESEARCH_USE
from expert.training.recipe import read_recipe
from studies.ablation import Variant
from studies.cross_validation import run_benchmark

ROOT = Path(__file__).parents[1]
PAGE, IMAGES = ROOT / "docs" / "results.md", ROOT / "docs" / "images"


@dataclass(frozen=True)
class Part:
    """One recipe on one table."""

    name: str
    recipe: str
    table: str
    variants: tuple[str, ...]
    subjects: int
    """Held-out subjects of each fold whose explanations are measured."""
    words: str
    """What the page says of it first."""
    changes: dict[str, Any] = field(default_factory=dict)
    """To the recipe, see `studies.ablation.Variant`."""


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
        "Brain age from the whole head (IXI): three networks joined, and a guide.",
    ),
    Part(
        "ixi-volume-one",
        "ixi-volume",
        "ixi",
        WHOLE,
        0,
        "What each part is good for: `ixi-volume` with one network instead of three, and "
        "the spatial prior of its first "
        "version in place of the guide (both are trained with each patch in its own "
        "place), changed in one place at a time. "
        "Each row is one training, and the intervals, over heads, know nothing of its seed.",
        {"architecture.members": 1, "architecture.guide": 0, "architecture.prior": 0.15},
    ),
    Part(
        "ixi-axial",
        "ixi-axial",
        "ixi",
        (),
        12,
        "Brain age from five axial slices (IXI): three networks joined, and a guide.",
    ),
    Part(
        "ixi-axial-one",
        "ixi-axial",
        "ixi",
        SLICES,
        0,
        "What each part is good for: `ixi-axial` with one network and the guide instead of "
        "three and the guide, changed in one "
        "place at a time. Each row is one training, and the intervals, over heads, know "
        "nothing of its seed.",
        {"architecture.members": 1},
    ),
    Part(
        "fetal-head",
        "fetal-head",
        "weeks.csv",
        (),
        8,
        "Weeks derived from the head's circumference, at a fixed number of millimetres per "
        "pixel: the size of the head tells "
        "the answer, and measuring it is what the model has learnt.",
    ),
    Part(
        "fetal-head-parts",
        "fetal-head",
        "weeks.csv",
        HEADS,
        0,
        "What each part is good for: `fetal-head`, changed in one place at a time. Each "
        "row is one training, and the intervals "
        "know nothing of its seed.",
    ),
    Part(
        "fetal-head-scaled",
        "fetal-head",
        "weeks-scaled.csv",
        (),
        8,
        "The same weeks and images, every head scaled to a circumference of 250 mm: the "
        "size can no longer answer. What is "
        "left is anatomy, and perhaps the grain of the picture, which scaling makes "
        "coarser or finer.",
    ),
)


def tables(chosen: argparse.Namespace) -> dict[str, Path]:
    """The tables by the names that `PLAN` gives them."""
    out = {}
    if chosen.ixi:
        out["ixi"] = chosen.ixi
    if chosen.hc18:
        folder = chosen.out / "hc18"
        subprocess.run(
            [sys.executable, ROOT / "tools" / "hc18_weeks.py", chosen.hc18, "--out", folder],
            check=True,
        )
        out |= {name: folder / name for name in ("weeks.csv", "weeks-scaled.csv")}
    return out


def main() -> None:
    """Run what is asked for, then write the page from all that is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ixi", type=Path, help="labels.csv of IXI: subject, file, age_years")
    parser.add_argument("--hc18", type=Path, help="labels.csv of HC18")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "runs" / "results",
        help="folder for all that lies in between",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[part.name for part in PLAN],
        help="this part; may be repeated",
    )
    parser.add_argument("--jobs", type=int, default=1, help="folds that run side by side")
    parser.add_argument("--page", action="store_true", help="run nothing")
    chosen = parser.parse_args()
    known = tables(chosen)
    for part in PLAN:
        there = not chosen.page or any((chosen.out / part.name).rglob("result.json"))
        if there and part.table in known and (not chosen.only or part.name in chosen.only):
            recipe = Variant(part.name, "", part.changes).of(
                read_recipe(ROOT / "recipes" / f"{part.recipe}.yaml")
            )
            recipe = recipe.model_copy(update={"name": part.name})
            run_benchmark(
                [recipe],
                known[part.table],
                chosen.out / part.name,
                variants=list(part.variants),
                jobs=chosen.jobs,
                subjects=part.subjects,
                run=not chosen.page,
                progress=lambda stage, done: print(f"{stage} {done:.0%}", flush=True),
            )
    write_page(chosen.out)


def write_page(out: Path) -> None:
    """Put the parts' sections together, and their plots beside the other pictures."""
    text = ["# Results", "", RESEARCH_USE, "", "Made by", "", "```"]
    text += ["python tools/results.py --ixi labels.csv --hc18 labels.csv", "```", ""]
    known = _sections()
    for part in PLAN:
        made = out / part.name / "results.md"
        if made.exists():
            section = made.read_text(encoding="utf-8").split(f"## {part.name}\n", 1)[1].strip()
            for plot in re.findall(r"\]\(([^)]+\.svg)\)", section):
                shutil.copy(out / part.name / plot, IMAGES / plot)
            known[part.name] = f"{part.words}\n\n" + re.sub(
                r"\]\(([^)]+\.svg)\)", r"](images/\1)", section
            )
        if part.name in known:
            text += [f"## {part.name}", "", known[part.name], ""]
        else:
            print(f"{part.name} has not been run: it is left out.", file=sys.stderr)
    PAGE.write_text("\n".join(text), encoding="utf-8")
    print(PAGE)


def _sections() -> dict[str, str]:
    """What the page says of each part, by its heading."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.exists() else []
    return {name: words.strip() for name, words in (part.split("\n", 1) for part in parts)}


if __name__ == "__main__":
    main()
