"""Make the average brain: the tissue values of many registered heads, brought together by demons.

    python tools/make_average_brain.py heads.csv prepared/ --site IXI

`prepared/` keeps the prepared images (those of people: keep them with the data). The average is
made twice: from the heads as they are registered, then from the heads registered to that average.
Needs at least ten people.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.features.anatomy import anatomical_displacement
from expert.imaging.preprocessing import view_affine
from expert.imaging.template import AVERAGE, DATA
from expert.schema import InputSettings

SETTINGS = InputSettings(
    intensity="tissue", shape=(80, 96, 80), spacing_mm=2.0, center_mm=(3.0, -17.0, 0.0)
)
LEAST = 10


def sharpened(images: np.ndarray, average: np.ndarray) -> np.ndarray:
    """Average (z, y, x) uint8 of heads (N, z, y, x), each registered to an average."""
    places, total = np.indices(average.shape), np.zeros(average.shape)
    moved = np.zeros((3, *average.shape))
    for image in images:
        field = anatomical_displacement(average, image)
        total += ndimage.map_coordinates(image.astype(float), places + field, order=1)
        moved += field
    # The average is brought to the mean shape: displacements from it have mean 0.
    back = places - moved / len(images)
    mean = ndimage.map_coordinates(total / len(images), back, order=1)
    return np.rint(mean).astype(np.uint8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--site", help="only heads of this site")
    options = parser.parse_args()
    entries = read_table(options.table)
    entries = [e for e in entries if options.site in (None, e.site)]
    cohort = load_cohort(entries, SETTINGS, options.prepared)
    people = len(np.unique(cohort.subjects))
    if people < LEAST:
        raise SystemExit(
            f"An average needs at least {LEAST} people, and {options.table} has {people}."
        )
    images = cohort.images[:, 0]
    average = np.rint(images.mean(0)).astype(np.uint8)
    for _ in range(2):
        average = sharpened(images, average)
    average[(images > 0).mean(0) < 0.5] = 0
    nibabel.save(nibabel.Nifti1Image(average, view_affine(SETTINGS, None)), DATA / AVERAGE)
    print(f"{DATA / AVERAGE}: average of {people} people")


if __name__ == "__main__":
    main()
