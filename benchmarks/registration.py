"""Benchmark of the registration on real heads: Dice of the brain mask, failures, seconds per head.

    python benchmarks/registration.py --heads ixi/T1 --masks ixi/brain_mask --out registration.csv

Heads and masks are NIfTI files in two folders, paired by their names up to the first underscore.
`--jobs` processes run in parallel with one thread each; seconds are the wall time of `register`.
"""

from __future__ import annotations

import argparse
import csv
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

POOR = 0.85
"""A Dice coefficient below this counts as a failed mask."""


def pairs(heads: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pairs of heads and reference masks."""
    found = []
    for head in sorted(heads.glob("*.nii*")):
        mask = sorted(masks.glob(f"{head.name.split('_')[0]}_*.nii*"))
        if not mask:
            raise SystemExit(f"{masks} contains no mask for {head.name}.")
        found.append((head, mask[0]))
    if not found:
        raise SystemExit(f"{heads} contains no NIfTI files.")
    return found


def measure(pair: tuple[Path, Path]) -> dict[str, float | str]:
    """Register one head and compare its brain mask with the reference."""
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
    mask, expected = brain_mask(volume, registration).astype(bool), read_volume(reference).data > 0
    return {
        "head": head.name,
        "dice": 2 * float((mask & expected).sum()) / float(mask.sum() + expected.sum()),
        "quality": registration.quality,
        "acceptable": int(registration.acceptable),
        "determinant": registration.determinant,
        "metric": registration.metric,
        "seconds": seconds,
    }


def main() -> None:
    """Measure all heads, write the table and print a summary."""
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
