"""Regions of planted effects: the patches of a feature grid that a planted effect changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from expert.errors import InputError
from expert.schema import InputSettings
from studies.planted_data import AGE, PLACES, Subjects, cache_key, load_arrays, save_arrays

MOST = 0.9
"""Fraction of a planted change that its region contains."""


def planted_change(seed: int, place: str, recipes: Sequence[InputSettings]) -> list[np.ndarray]:
    """How much the grey values of a head change between the ages 20 and 85 of one region.

    The two heads are made without noise and shading: they differ where the region changes, and are
    identical elsewhere. The difference is taken before intensities are scaled, because the scale is
    one for the whole head.

    Parameters
    ----------
    seed : int
        The subject.
    place : str
        One of `studies.planted_data.PLACES`.
    recipes : sequence of InputSettings
        Input settings with the explained views.

    Returns
    -------
    list of (V, *shape) ndarrays
        One per element of `recipes`, float32: absolute difference in thousandths of full scale, 0
        where nothing was planted.

    Raises
    ------
    InputError
        There is no such region.
    """
    from dataclasses import replace

    from expert.datasets.phantom import AGES, phantom_with_truth
    from expert.imaging.preprocessing import view_affine
    from expert.imaging.registration import Registration
    from expert.imaging.resampling import resample_to_template

    if place not in PLACES:
        raise InputError(
            f"No effect can be planted in '{place}': choose one of {', '.join(PLACES)}."
        )
    argument = {"ventricles": "ventricle_age", "left cortex": "left_cortex_age"}[place]
    (young, truth), (old, _) = (
        phantom_with_truth(AGE, seed, clean=True, **{argument: age}) for age in AGES
    )
    difference = replace(
        young, data=np.abs(young.data.astype(np.float32) - old.data.astype(np.float32))
    )
    known = Registration.known(truth.template_to_subject)
    out = []
    for recipe in recipes:
        flat = len(recipe.shape) == 2
        views = []
        for position in recipe.positions_mm if flat else (None,):
            affine = view_affine(recipe, position)
            if flat:  # for the resampler, a plane is a volume of one slice
                affine = affine[:, [2, 0, 1, 3]]
            shape = (1, *recipe.shape) if flat else recipe.shape
            views.append(
                resample_to_template(difference, known, affine, shape).reshape(recipe.shape)
            )
        out.append(np.stack(views))
    return out


def region_patches(change: np.ndarray, grid: tuple[int, ...], most: float = MOST) -> np.ndarray:
    """The fewest patches that together contain most of a change.

    Parameters
    ----------
    change : (V, *shape) ndarray
        At least 0.
    grid : tuple of int
        Patches per axis.
    most : float
        Fraction of each view's total change, 0 to 1.

    Returns
    -------
    (V, M) ndarray of bool
        All False in a view without any change.
    """
    views = len(change)
    split = [
        part
        for size, patches in zip(change.shape[1:], grid, strict=True)
        for part in (patches, size // patches)
    ]
    boxes = (
        change.reshape(views, *split)
        .sum(axis=tuple(range(2, 2 * len(grid) + 1, 2)), dtype=float)
        .reshape(views, -1)
    )
    order = np.argsort(-boxes, axis=1, kind="stable")
    held = np.take_along_axis(boxes, order, axis=1)
    before = np.cumsum(held, axis=1) - held  # in the patches with larger changes
    needed = np.asarray((before < most * held.sum(axis=1, keepdims=True) * (1 - 1e-9)) & (held > 0))
    out = np.zeros_like(needed)
    np.put_along_axis(out, order, needed, axis=1)
    return out


def planted_regions(
    subjects: Subjects,
    recipes: Sequence[InputSettings],
    grids: Sequence[tuple[int, ...]],
    folder: Path,
) -> list[dict[str, np.ndarray]]:
    """Patches whose content a planted age changes, for each subject; kept in `folder`.

    Parameters
    ----------
    subjects : Subjects
        N subjects.
    recipes : sequence of InputSettings
        Input settings with the explained views.
    grids : sequence of tuples of int
        Patches per axis, for each element of `recipes`.
    folder : Path
        As in `studies.planted_data.prepare_subjects`.

    Returns
    -------
    list of dict
        One per element of `recipes`: (N, V, M) ndarray of bool by region of `PLACES`.
    """
    places = [
        folder / f"regions-{cache_key(subjects.seeds, grid, MOST, recipe)}.npz"
        for recipe, grid in zip(recipes, grids, strict=True)
    ]
    missing = [n for n, place in enumerate(places) if not place.exists()]
    found: dict[int, dict[str, list[np.ndarray]]] = {
        n: {place: [] for place in PLACES} for n in missing
    }
    for seed in subjects.seeds if missing else ():
        for place in PLACES:
            for n, change in zip(
                missing, planted_change(seed, place, [recipes[n] for n in missing]), strict=True
            ):
                found[n][place].append(region_patches(change, grids[n]))
    for n, patches in found.items():
        save_arrays(places[n], {place: np.stack(each) for place, each in patches.items()})
    return [load_arrays(place) for place in places]
