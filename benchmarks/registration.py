"""Registration measured on real heads: brain mask against a reference (Dice), failures, seconds per
head.

    python benchmarks/registration.py --heads ixi/T1 --masks ixi/brain_mask --out registration.csv

Heads and masks are NIfTI files of two folders, paired by their names up to the first underscore.
`--jobs` processes, one thread each; seconds are the wall time of `register` alone.
"""

from __future__ import annotations

import argparse
import csv
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

POOR = 0.85
"""Dice under which a mask is of no use."""


def pairs(heads: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Each head with its mask."""
    found = []
    for head in sorted(heads.glob("*.nii*")):
        mask = sorted(masks.glob(f"{head.name.split('_')[0]}_*.nii*"))
        if not mask:
            raise SystemExit(f"{masks} holds no mask for {head.name}.")
        found.append((head, mask[0]))
    if not found:
        raise SystemExit(f"{heads} holds no NIfTI files.")
    return found


def measure(pair: tuple[Path, Path]) -> dict[str, float | str]:
    """One head."""
    import SimpleITK as sitk

    from expert.imaging.brain import brain_mask
    from expert.imaging.registration import register
    from expert.imaging.volume import read_volume

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    head, reference = pair
    volume = read_volume(head)
    start = time.perf_counter()
    registration = register(volume)
    seconds = time.perf_counter() - start
    mine, theirs = brain_mask(volume, registration).astype(bool), read_volume(reference).data > 0
    return {
        "head": head.name,
        "dice": 2 * float((mine & theirs).sum()) / float(mine.sum() + theirs.sum()),
        "quality": registration.quality,
        "acceptable": int(registration.acceptable),
        "determinant": registration.determinant,
        "metric": registration.metric,
        "seconds": seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("registration.csv"))
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args()
    with ProcessPoolExecutor(chosen.jobs) as pool:
        rows = list(pool.map(measure, pairs(chosen.heads, chosen.masks)))
    with chosen.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    dice = np.array([row["dice"] for row in rows], dtype=float)
    seconds = np.array([row["seconds"] for row in rows], dtype=float)
    print(f"heads                 {len(rows)}")
    print(f"refused               {sum(not row['acceptable'] for row in rows)}")
    print(
        f"Dice                  median {np.median(dice):.3f}, lowest {dice.min():.3f}, "
        f"under {POOR}: {(dice < POOR).sum()}"
    )
    print(
        f"seconds per head      median {np.median(seconds):.2f}, longest "
        f"{seconds.max():.2f} ({chosen.jobs} at once)"
    )


if __name__ == "__main__":
    main()
