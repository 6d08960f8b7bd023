"""Tables for `recipes/fetal-head.yaml`: weeks derived from the head circumferences of HC18.

    python tools/hc18_weeks.py ../shared/data/hc18/labels.csv

HC18 does not contain the gestational age. The weeks follow from the circumference measured in the
same image (Hadlock et al., AJR 1984): a model that predicts them has learned to measure heads, no
more. Two tables are written beside the labels, or into --out:

- `weeks.csv`: with the true pixel sizes;
- `weeks-scaled.csv`: with pixel sizes that make every circumference 250 mm, so that the size does
  not determine the label.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

COMMON_MM = 250.0


def hadlock(circumference_cm: float) -> float:
    """Gestational age in weeks for a head circumference in cm.

    Parameters
    ----------
    circumference_cm : float

    Returns
    -------
    float

    References
    ----------
    .. [1] Hadlock et al., AJR 143, 1984.
    """
    return 8.96 + 0.540 * circumference_cm + 0.0003 * circumference_cm**3


def main() -> None:
    """Read the labels, write the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "labels",
        type=Path,
        help="labels.csv of HC18: exam, file, pixel_size_mm, head_circumference_mm",
    )
    parser.add_argument(
        "--out", type=Path, help="folder for the tables (default: beside the labels)"
    )
    chosen = parser.parse_args()
    out = chosen.out or chosen.labels.parent
    out.mkdir(parents=True, exist_ok=True)
    with chosen.labels.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, scaled in (("weeks.csv", False), ("weeks-scaled.csv", True)):
        target = out / name
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["exam", "file", "pixel_size_mm", "derived_weeks"])
            for row in rows:
                circumference = float(row["head_circumference_mm"])
                pixel = float(row["pixel_size_mm"]) * (COMMON_MM / circumference if scaled else 1.0)
                image = os.path.relpath(chosen.labels.parent / row["file"], out)
                writer.writerow(
                    [row["exam"], image, f"{pixel:.6g}", f"{hadlock(circumference / 10):.3f}"]
                )
        print(target)


if __name__ == "__main__":
    main()
