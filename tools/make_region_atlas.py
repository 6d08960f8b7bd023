"""Make `expert/imaging/data/regions_2mm.nii.gz` and its names from the DLMUSE labels of IXI heads.

``python tools/make_region_atlas.py ../shared/data/ixi``: the most frequent region of at least 50
people in template space. Registers every head, which takes some minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.imaging.template import load_template
from expert.schema import InputSettings

TARGET = Path(__file__).parents[1] / "expert" / "imaging" / "data"
LEAST_PEOPLE = 50
LEAST_FRACTION = 0.25
"""A voxel belongs to a region if at least this fraction of the people have any region there."""

GROUPS: dict[str, str] = {
    r"LateralVentricle|InfLatVentricle": "lateral ventricle",
    r"3rdVentricle": "third ventricle",
    r"4thVentricle": "fourth ventricle",
    r"AccumbensArea": "nucleus accumbens",
    r"Amygdala": "amygdala",
    r"BrainStem": "brain stem",
    r"Caudate": "caudate",
    r"CerebellumExterior": "cerebellar cortex",
    r"Cerebellum_WM": "cerebellar white matter",
    r"CerebellarVermal": "cerebellar vermis",
    r"Hippocampus": "hippocampus",
    r"Pallidum": "pallidum",
    r"Putamen": "putamen",
    r"ThalamusProper": "thalamus",
    r"VentralDC": "ventral diencephalon",
    r"BasalForebrain": "basal forebrain",
    r"(Frontal|Occipital|Parietal|Temporal)_WM": r"\1 white matter",
    r"Fornix": "fornix",
    r"LimbInternalCapsule": "internal capsule",
    r"CorpCall": "corpus callosum",
    r"Insula": "insula",
    r"CingulateGyrus|SubcallosalArea": "cingulate cortex",
    r"EntorhinalArea|ParahippocampalGyrus": "medial temporal cortex",
    r"OrbitalGyrus|GyrusRectus|OrbitalPart": "orbitofrontal cortex",
    r"PostcentralGyrus|Parietal|AngularGyrus|SupramarginalGyrus|Precuneus": "parietal cortex",
    r"Calcarine|Cuneus|Occipital|LingualGyrus": "occipital cortex",
    r"Temporal|FusiformGyrus|PlanumPolare|PlanumTemporale": "temporal cortex",
    r"Frontal|PrecentralGyrus|SupplementaryMotor|CentralOperculum": "frontal cortex",
}
"""Part of a DLMUSE name: plain name of its group. The first that fits counts."""


def region_name(name: str) -> str:
    """The plain name of a DLMUSE region: "LateralVentricle_R" is the "right lateral ventricle"."""
    stem, _, side = name.rpartition("_")
    stem = stem if side in ("L", "R") else name
    for pattern, plain in GROUPS.items():
        found = re.search(pattern, stem)
        if found:
            return {"L": "left ", "R": "right "}.get(side, "") + found.expand(plain).lower()
    raise ValueError(f"{name} belongs to no group")


def read_regions(path: Path) -> dict[int, str]:
    """Plain name of every single region in ``regions.csv``; groups and fluid are left out."""
    with path.open(encoding="utf-8") as file:
        rows = [(int(row["Index"]), row["Name"]) for row in csv.DictReader(file)]
    return {index: region_name(name) for index, name in rows if 1 < index < 300}


def most_frequent(data: Path, prepared: Path, jobs: int) -> tuple[np.ndarray, list[str], int]:
    """The most frequent region of all people in each voxel of the template.

    Parameters
    ----------
    data : Path
        Folder with ``labels.csv``, ``T1`` and ``dlmuse``.
    prepared : Path
        Folder for prepared heads; those that are there are not registered again.
    jobs : int
        Number of processes.

    Returns
    -------
    atlas : (97, 115, 97) uint8 ndarray
        0 outside, else 1 + index of the name.
    names : list of str
    people : int
    """
    plain = read_regions(data / "dlmuse" / "regions.csv")
    names = list(dict.fromkeys(plain.values()))
    group = np.zeros(256, dtype=np.uint8)
    for index, name in plain.items():
        group[index] = 1 + names.index(name)
    settings = InputSettings(
        space="mni", intensity="tissue", shape=(80, 96, 80), spacing_mm=2.0,
        center_mm=(3.0, -17.0, 0.0),
    )  # fmt: skip
    cohort = load_cohort(
        read_table(data / "labels.csv", label_column="age_years"), settings, prepared, jobs=jobs
    )
    template = load_template("mask")
    votes = np.zeros((len(names) + 1, *template.data.shape), dtype=np.uint16)
    people = 0
    for entry, transform in zip(cohort.entries, cohort.transforms, strict=True):
        name = Path(entry.file).name.removesuffix(".nii.gz")
        file = data / "dlmuse" / f"{name}_DLMUSE.nii.gz"
        if not file.exists():
            continue
        image = nib.load(file)
        matrix = np.linalg.inv(image.affine) @ transform @ template.affine
        regions = group[np.asarray(image.dataobj).astype(np.uint8)]
        placed = ndimage.affine_transform(
            regions, matrix[:3, :3], matrix[:3, 3], template.data.shape, order=0
        )
        np.put_along_axis(
            votes,
            placed[None].astype(int),
            np.take_along_axis(votes, placed[None].astype(int), 0) + 1,
            0,
        )
        people += 1
    if people < LEAST_PEOPLE:
        raise SystemExit(f"{people} people have labels, at least {LEAST_PEOPLE} are needed.")
    inside = votes[0] <= (1 - LEAST_FRACTION) * people
    atlas = np.where(inside, 1 + votes[1:].argmax(axis=0), 0).astype(np.uint8)
    return atlas, names, people


def main() -> None:
    """Make the atlas and write it with its names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder ixi with labels.csv, T1 and dlmuse")
    parser.add_argument("--prepared", type=Path, help="folder of prepared heads, kept for later")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepared = options.prepared or Path(folder)
        atlas, names, people = most_frequent(options.data, prepared, options.jobs)
    template = load_template("mask")
    image = nib.Nifti1Image(atlas, template.affine)
    image.header.set_xyzt_units("mm")
    image.header.set_sform(template.affine, code="mni")
    image.header.set_qform(template.affine, code="mni")
    nib.save(image, TARGET / "regions_2mm.nii.gz")
    text = json.dumps({"people": people, "names": names}, indent=1)
    (TARGET / "regions_2mm.json").write_text(text + "\n", encoding="utf-8")
    counts = np.bincount(atlas.ravel(), minlength=len(names) + 1)[1:]
    for name, count in zip(names, counts, strict=True):
        print(f"{name}: {count * 8 / 1000:.1f} ml")


if __name__ == "__main__":
    main()
