"""Label maps and real heads as soft maps on a 3 mm grid, the source of painted heads.

The label maps are those of SynthSeg (Billot et al., Medical Image Analysis 2023) and, for the real
heads of IXI, the region labels of DLMUSE. Neither is part of the
project; what is trained on them is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

SPACING_MM = 3.0
TISSUES = ("fluid", "grey", "white")
GROUPS: dict[str, tuple[int, ...]] = {
    "ventricles": (4, 5, 14, 15, 43, 44, 72),
    "outer fluid": (24,),
    "cortex": (3, 42, 17, 53, 18, 54, 26, 58, 25, 57),
    "cerebellar cortex": (8, 47),
    "striatum": (11, 12, 50, 51),
    "thalamus": (10, 49, 28, 60),
    "pallidum": (13, 52),
    "white": (2, 41),
    "cerebellar white": (7, 46),
    "brainstem": (16, 85),
    "head 507": (507,),
    "head 511": (511,),
    "head 515": (515,),
    "head 516": (516,),
    "head 506, 509": (506, 509),
    "head 514": (514,),
    "head, others": (502, 508, 512, 530, 30, 62, 136, 137, 163, 164),
}
"""Labels of SynthSeg's maps that are painted with one intensity; 0 is air."""
TISSUE_OF_GROUP = (0, 0, 1, 1, 1, 1, 1, 2, 2, 2)
"""Tissue (index in `TISSUES`) of the first ten groups; the other groups are outside the brain."""
MUSE_FLUID = (1, 4, 11, 46, 49, 50, 51, 52)
MUSE_WHITE = (35, 40, 41, 69, *range(81, 96))


@dataclass(frozen=True, eq=False)
class Source:
    """One person as soft maps."""

    name: str
    maps: np.ndarray
    """(C, x, y, z) float16. Painted: fractions of `GROUPS`. Real: image (0 to 1), three tissues."""
    mask: np.ndarray
    """(x, y, z) float16, the brain with the fluid between its folds."""
    affine: np.ndarray
    """(4, 4) index to RAS mm."""
    subject_to_template: np.ndarray
    """(4, 4) subject RAS mm to template RAS mm."""
    real: bool


def closed_brain(brain: np.ndarray, radius_mm: float, spacing_mm: float) -> np.ndarray:
    """A brain with the fluid in its folds: a closing with a ball, and holes filled.

    Parameters
    ----------
    brain : (x, y, z) bool ndarray
    radius_mm : float
    spacing_mm : float

    Returns
    -------
    (x, y, z) bool ndarray
    """
    radius = radius_mm / spacing_mm
    pad = int(np.ceil(radius)) + 1
    padded = np.pad(brain, pad)
    near = ndimage.distance_transform_edt(~padded) <= radius
    closed = ndimage.distance_transform_edt(near) > radius
    inner = tuple(slice(pad, -pad) for _ in range(3))
    return np.asarray(ndimage.binary_fill_holes(closed[inner] | brain))


def _reduce(array: np.ndarray, affine: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The mean over boxes of `factor` voxels (integer factors), or a smoothed sampling."""
    if float(factor).is_integer():
        f = int(factor)
        cut = [n // f * f for n in array.shape]
        a = array[: cut[0], : cut[1], : cut[2]].reshape(
            cut[0] // f, f, cut[1] // f, f, cut[2] // f, f
        )
        out = a.mean(axis=(1, 3, 5), dtype=np.float32)
    else:
        shape = [int(n / factor) for n in array.shape]
        smooth = ndimage.gaussian_filter(array.astype(np.float32), 0.35 * factor)
        out = ndimage.affine_transform(
            smooth, np.full(3, factor), np.full(3, (factor - 1) / 2), shape, order=1
        )
    step = np.diag([factor, factor, factor, 1.0])
    step[:3, 3] = (factor - 1) / 2
    return out, affine @ step


def painted_source(file: str | Path, template_to_subject: np.ndarray) -> Source:
    """Fractions of the groups of a SynthSeg label map (1 mm) on the 3 mm grid."""
    image = nib.as_closest_canonical(nib.load(file))
    labels = np.asarray(image.dataobj).astype(np.int16)
    maps = []
    for members in GROUPS.values():
        part, affine = _reduce(np.isin(labels, members).astype(np.uint8), image.affine, 3)
        maps.append(part)
    brain = np.isin(
        labels, [m for name in list(GROUPS)[:10] if name != "outer fluid" for m in GROUPS[name]]
    )
    # The closing at 2 mm, where it takes a second instead of twenty.
    half, _ = _reduce(brain.astype(np.uint8), image.affine, 2)
    closed = closed_brain(half > 0.5, 12.0, 2.0)
    full = np.kron(closed, np.ones((2, 2, 2), dtype=bool))
    full = np.pad(full, [(0, n - m) for n, m in zip(brain.shape, full.shape, strict=True)])
    inside = full & (brain | (labels == 24) | (labels == 0) | np.isin(labels, (30, 62, 502, 508)))
    mask, _ = _reduce((inside | brain).astype(np.uint8), image.affine, 3)
    return Source(
        Path(file).name, np.stack(maps).astype(np.float16), mask.astype(np.float16), affine,
        np.linalg.inv(template_to_subject), False,
    )  # fmt: skip


def real_source(file: Path, regions: Path, template_to_subject: np.ndarray) -> Source:
    """A real head of IXI (2 mm) with its tissues, by the regions of DLMUSE, on the 3 mm grid."""
    image = nib.as_closest_canonical(nib.load(file))
    label = np.asarray(nib.as_closest_canonical(nib.load(regions)).dataobj).astype(np.int16)
    data = np.asarray(image.dataobj, dtype=np.float32)
    data = np.clip(data / np.percentile(data, 99.8), 0, 1)
    brain = label > 1
    inside = closed_brain(brain, 12.0, 2.0) | (label > 0)
    fluid = inside & (~brain | np.isin(label, MUSE_FLUID))
    white = np.isin(label, MUSE_WHITE)
    grey = inside & ~fluid & ~white
    parts = [_reduce(x.astype(np.float32), image.affine, 1.5) for x in (data, fluid, grey, white)]
    maps = np.stack([part for part, _ in parts])
    return Source(
        file.name, maps.astype(np.float16), maps[1:].sum(axis=0).astype(np.float16), parts[0][1],
        np.linalg.inv(template_to_subject), True,
    )  # fmt: skip


def load_sources(
    data: Path, affines: dict[str, list[list[float]]], cache: Path, real: int | None = None
) -> list[Source]:
    """All people as soft maps; kept in `cache` as .npz files.

    Parameters
    ----------
    data : pathlib.Path
        Folder with ``synthseg_labels`` and ``ixi``.
    affines : dict[str, list[list[float]]]
        File name to the first three rows of its (4, 4) template RAS mm to subject RAS mm.
    cache : pathlib.Path
        Folder for the maps.
    real : int, optional
        At most this many real heads.

    Returns
    -------
    list[Source]
    """
    cache.mkdir(parents=True, exist_ok=True)
    files = sorted((data / "synthseg_labels").glob("*.nii.gz"))
    files += sorted((data / "ixi" / "T1").glob("*.nii.gz"))[:real]
    found = []
    for file in files:
        if file.name not in affines:
            continue
        key = hashlib.sha256(f"3 {file.name} {affines[file.name]}".encode()).hexdigest()[:16]
        store = cache / f"{key}.npz"
        matrix = np.vstack([np.array(affines[file.name])[:3], [0, 0, 0, 1]])
        if not store.exists():
            if file.parent.name == "T1":
                regions = data / "ixi" / "dlmuse" / file.name.replace(".nii.gz", "_DLMUSE.nii.gz")
                if not regions.exists():
                    regions = next((data / "ixi" / "dlmuse").glob(file.name.split("_")[0] + "*"))
                source = real_source(file, regions, matrix)
            else:
                source = painted_source(file, matrix)
            np.savez(store, maps=source.maps, mask=source.mask, affine=source.affine)
        with np.load(store) as z:
            found.append(
                Source(file.name, z["maps"], z["mask"], z["affine"], np.linalg.inv(matrix),
                       file.parent.name == "T1")
            )  # fmt: skip
    return found
