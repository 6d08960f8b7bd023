"""Names of brain regions in template space: which regions a patch of a head covers.

The atlas is the most frequent region of 145 people at 2 mm (`tools/make_region_atlas.py`,
`expert/imaging/data/NOTICE`). It names the place of a patch in an average brain after an affine
registration; it does not segment the head that is explained.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

import numpy as np

from expert.imaging.template import DATA
from expert.imaging.volume import Volume, read_volume

NAMED = 3
"""Most regions that are named for a patch."""
LEAST = 0.2
"""A region is named if it fills at least this fraction of the labelled part of a patch; the largest
always is."""
LABELLED = 0.02
"""A patch has names if at least this fraction of it is labelled."""


@functools.lru_cache(maxsize=1)
def load_atlas() -> tuple[Volume, tuple[str, ...]]:
    """The atlas and the names of its regions.

    Returns
    -------
    Volume
        (97, 115, 97) uint8, RAS, 2 mm: 0 outside, else 1 + index of the name.
    tuple[str, ...]
        Such as "right lateral ventricle" or "brain stem".
    """
    document = json.loads((DATA / "regions_2mm.json").read_text(encoding="utf-8"))
    return read_volume(DATA / "regions_2mm.nii.gz"), tuple(document["names"])


@dataclass(frozen=True, eq=False)
class PatchRegions:
    """The regions of the patches of a view."""

    fractions: np.ndarray
    """(M, R) fraction of each patch that is in each region; rows sum to at most 1."""
    names: tuple[str, ...]
    """Of the R regions."""

    def of(self, patch: int) -> tuple[str, ...]:
        """Names of the one to three regions that fill most of a patch, the largest first.

        Parameters
        ----------
        patch : int
            In C order of the grid.

        Returns
        -------
        tuple[str, ...]
            Empty for a patch outside the brain.
        """
        return tuple(self.names[n] for n in self.indices(patch))

    def indices(self, patch: int) -> list[int]:
        """The same as indices of `names`."""
        row = self.fractions[patch]
        total = float(row.sum())
        if total < LABELLED:
            return []
        order = np.argsort(-row, kind="stable")[:NAMED]
        return [int(n) for n in order if n == order[0] or row[n] >= LEAST * total]


def patch_regions(
    affine: np.ndarray, shape: tuple[int, ...], grid: tuple[int, ...]
) -> PatchRegions:
    """The regions of the patches of a view of a registered head.

    Parameters
    ----------
    affine : (4, 4) ndarray
        Indices (i, j[, k]) of the view, padded with 0, to template RAS mm (`View.affine`).
    shape : tuple[int, ...]
        Pixels per axis of the view, 2 or 3 axes.
    grid : tuple[int, ...]
        Patches per axis.

    Returns
    -------
    PatchRegions
    """
    matrix = np.ascontiguousarray(affine, dtype=float)
    return _patch_regions(matrix.tobytes(), tuple(shape), tuple(grid))


@functools.lru_cache(maxsize=16)
def _patch_regions(affine: bytes, shape: tuple[int, ...], grid: tuple[int, ...]) -> PatchRegions:
    atlas, names = load_atlas()
    to_template = np.frombuffer(affine).reshape(4, 4)
    index = np.indices(shape).reshape(len(shape), -1)
    padded = np.zeros((4, index.shape[1]))
    padded[: len(shape)], padded[3] = index, 1
    place = np.rint((np.linalg.inv(atlas.affine) @ to_template @ padded)[:3]).astype(int)
    limits = np.array(atlas.data.shape)[:, None]
    inside = ((place >= 0) & (place < limits)).all(axis=0)
    labels = np.zeros(index.shape[1], dtype=int)
    labels[inside] = atlas.data[tuple(place[:, inside])]
    patches = np.zeros(index.shape[1], dtype=int)
    for axis, (size, cells) in enumerate(zip(shape, grid, strict=True)):
        patches = patches * cells + index[axis] * cells // size
    count = int(np.prod(grid))
    counts = np.bincount(
        patches * (len(names) + 1) + labels, minlength=count * (len(names) + 1)
    ).reshape(count, -1)
    return PatchRegions(counts[:, 1:] / counts.sum(axis=1, keepdims=True), names)


def base_name(region: str) -> tuple[str, str]:
    """Side ("left", "right" or "") and the name without it: "lateral ventricle"."""
    for side in ("left", "right"):
        if region.startswith(side + " "):
            return side, region.removeprefix(side + " ")
    return "", region
