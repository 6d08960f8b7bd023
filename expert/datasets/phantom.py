"""Synthetic ageing heads with known truth: a whole-head T1-like volume for an age and a seed.

Built from the ICBM 152 tissue maps. Age acts in two known places only, both in template space (see
`effect_map`):

* *ventricles*: the lateral and third ventricles grow into their surroundings, by 4.5 mm at 85 years
  compared with 20 years;
* *cortex*: the outer sulci widen, cortical grey matter shrinks, and the remaining grey matter is a
  little brighter.

Everything else depends on the seed alone: anatomy (a smooth random deformation), size and pose of
the head, coil shading, noise, tissue contrast, and the apparent age of each of the two places
(normal around the age, standard deviation 2 years each; so even a perfect reading of both has a
mean absolute error of about 1.1 years).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from expert.errors import InputError
from expert.imaging.template import load_template
from expert.imaging.volume import Volume, write_volume

AGES = (20.0, 85.0)
"""Range of ages in a cohort, years; each place ages linearly."""
VARIABILITY = 2.0
"""Standard deviation of the apparent age of a place, years."""
SPACING = 2.0
"""Of all grids, mm."""
SHAPE, ORIGIN = (104, 128, 120), np.array([-104.0, -140.0, -132.0])
"""Grid in template space that holds a whole head, RAS mm."""
OUT_SHAPE, OUT_ORIGIN = (96, 120, 112), np.array([-96.0, -130.0, -124.0])
"""Grid of the volumes, RAS mm."""
GROWTH_MM = 4.5
"""Growth of the ventricles between 20 and 85 years, template mm."""


@dataclass(frozen=True, eq=False)
class PhantomTruth:
    """Ground truth of a phantom."""

    age: float
    """Years."""
    template_to_subject: np.ndarray
    """(4, 4) RAS mm to RAS mm, without the smooth deformation."""
    ventricle_age: float
    """Apparent age of the ventricles, years."""
    cortex_age: float
    """Apparent age of the cortex, years."""
    left_cortex_age: float
    """Apparent age of the cortex of the left hemisphere, years; another one only on request."""


@dataclass(frozen=True, eq=False)
class _Anatomy:
    """Maps on the grid `SHAPE`, float32."""

    gm: np.ndarray
    wm: np.ndarray
    csf: np.ndarray
    outside: np.ndarray  # intensities of skull, scalp, face and neck; 0 in the brain
    ventricle_distance: np.ndarray  # mm, negative inside
    cortex: np.ndarray  # 0..1: how far the cortex may give way to outer CSF


@functools.lru_cache(maxsize=1)
def _anatomy() -> _Anatomy:
    grid = np.diag([SPACING, SPACING, SPACING, 1.0])
    grid[:3, 3] = ORIGIN

    def placed(name: Literal["gm", "wm", "mask"]) -> np.ndarray:
        volume = load_template(name)
        to_index = np.linalg.inv(volume.affine) @ grid
        data = volume.data.astype(np.float32) / float(volume.data.max())
        return np.asarray(
            ndimage.affine_transform(data, to_index[:3, :3], to_index[:3, 3], SHAPE, order=1)
        )

    gm, wm, mask = placed("gm"), placed("wm"), placed("mask") > 0.5
    total = np.maximum(gm + wm, 1.0)
    gm, wm = gm / total * mask, wm / total * mask
    csf = np.clip(mask - gm - wm, 0, 1)
    x, y, z = np.meshgrid(
        *[o + SPACING * np.arange(n) for o, n in zip(ORIGIN, SHAPE, strict=True)], indexing="ij"
    )

    depth = ndimage.distance_transform_edt(mask, sampling=SPACING)
    deep = (
        (csf > 0.4) & (depth > 22) & (np.abs(x) < 42) & (y > -58) & (y < 45) & (z > -12) & (z < 36)
    )
    labels, _ = ndimage.label(deep)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    ventricles = np.isin(labels, np.flatnonzero(sizes > 150))
    inside = ndimage.distance_transform_edt(ventricles, sampling=SPACING)
    beyond = ndimage.distance_transform_edt(~ventricles, sampling=SPACING)
    distance = np.where(ventricles, -inside, beyond).astype(np.float32)

    outer = csf * (depth < 30) * (beyond > 12)
    cortex = np.clip(3.0 * ndimage.gaussian_filter(outer, 1.2), 0, 1) * (gm > 0.1) * (beyond > 12)
    return _Anatomy(
        gm.astype(np.float32),
        wm.astype(np.float32),
        csf.astype(np.float32),
        _shell(mask, x, y, z),
        distance,
        cortex.astype(np.float32),
    )


def _shell(mask: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Intensities around the brain: dark skull, bright scalp, face and neck."""
    away = ndimage.distance_transform_edt(~mask, sampling=SPACING)
    out = np.zeros(mask.shape, np.float32)
    face = ((x / 60) ** 2 + ((y - 30) / 62) ** 2 + ((z + 62) / 62) ** 2) < 1
    neck = ((x / 58) ** 2 + ((y + 30) / 62) ** 2 < 1) & (z < -50)
    out[face | neck] = 0.45
    airway = ((x / 10) ** 2 + ((y - 22) / 9) ** 2 < 1) & (z < -45)
    out[airway] = 0.05
    upper = z > -75
    out[(away <= 15) & upper] = 0.8  # scalp
    out[(away <= 9) & upper] = 0.12  # skull
    out[(away <= 2.5) & upper] = 0.22  # outer CSF
    out[mask] = 0
    return out


def _tissues(
    ventricle_age: float, cortex_age: float, left_cortex_age: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Grey matter, white matter, CSF and added grey matter brightness for apparent ages, years."""
    anatomy = _anatomy()
    span = AGES[1] - AGES[0]
    growth = GROWTH_MM * (ventricle_age - AGES[0]) / span
    # Only the difference from an unaged ventricle is applied: nothing changes far from it.
    water = _edge(growth - anatomy.ventricle_distance) - _edge(-anatomy.ventricle_distance)
    ageing: float | np.ndarray = (cortex_age - AGES[0]) / span
    if left_cortex_age != cortex_age:
        left = (ORIGIN[0] + SPACING * np.arange(SHAPE[0]) < 0)[:, None, None]
        ageing = np.where(left, (left_cortex_age - AGES[0]) / span, ageing).astype(np.float32)
    lost = np.clip(1.0 * ageing * anatomy.cortex, -0.5, 0.95) * anatomy.gm
    gm = anatomy.gm - lost
    csf = anatomy.csf + lost
    wm = anatomy.wm
    keep = np.clip(1 - water, 0, 1.5)
    gm, wm = np.clip(gm * keep, 0, 1), np.clip(wm * keep, 0, 1)
    csf = np.clip(csf + (anatomy.gm + anatomy.wm) * water, 0, 1)
    return gm, wm, csf, 0.08 * ageing * anatomy.cortex


def _edge(millimetres: np.ndarray) -> np.ndarray:
    """Soft step over about 2 mm; exactly 0 and 1 beyond 3 mm."""
    t = np.clip(millimetres / 6 + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def effect_regions() -> dict[str, np.ndarray]:
    """Regions where age can act, between 0 and 110 years.

    Returns
    -------
    dict of numpy.ndarray
        ``ventricles`` and ``cortex``: (104, 128, 120) bool on the template grid of `effect_affine`.
    """
    anatomy = _anatomy()
    reach = GROWTH_MM * (110 + 4 * VARIABILITY - AGES[0]) / (AGES[1] - AGES[0])
    back = GROWTH_MM * (AGES[0] + 4 * VARIABILITY) / (AGES[1] - AGES[0])
    distance = anatomy.ventricle_distance
    return {
        "ventricles": (distance < reach + 3) & (distance > -back - 3),
        "cortex": anatomy.cortex > 0,
    }


def effect_map() -> np.ndarray:
    """Union of `effect_regions`: (104, 128, 120) bool on the template grid of `effect_affine`."""
    regions = effect_regions()
    return np.asarray(regions["ventricles"] | regions["cortex"])


def effect_affine() -> np.ndarray:
    """(4, 4) from indices of `effect_map` to template RAS mm."""
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = ORIGIN
    return affine


def phantom(age: float, seed: int) -> Volume:
    """Return a synthetic whole head.

    Parameters
    ----------
    age : float
        Years, 0 to 110.
    seed : int
        0 or larger; each seed is a different synthetic subject.

    Returns
    -------
    Volume
        (96, 120, 112) int16, RAS, 2 mm; the same for the same arguments.

    Raises
    ------
    InputError
        Age or seed is out of range.
    """
    return phantom_with_truth(age, seed)[0]


def phantom_with_truth(
    age: float,
    seed: int,
    *,
    clean: bool = False,
    ventricle_age: float | None = None,
    cortex_age: float | None = None,
    left_cortex_age: float | None = None,
) -> tuple[Volume, PhantomTruth]:
    """Return a synthetic whole head with its ground truth; apparent ages can be set.

    Parameters
    ----------
    age, seed
        As in `phantom`.
    clean : bool
        Without coil shading and noise.
    ventricle_age, cortex_age : float, optional
        Apparent age of the place, years, 0 to 110; None: drawn from age and seed.
    left_cortex_age : float, optional
        Apparent age of the cortex of the left hemisphere (x < 0); None: as the right one.

    Returns
    -------
    volume : Volume
        The head. The same seed is the same subject: only the places given look different.
    truth : PhantomTruth
        Its ground truth.

    Raises
    ------
    InputError
        An age or the seed is out of range.
    """
    for years in (age, ventricle_age, cortex_age, left_cortex_age):
        if years is not None and not 0 <= years <= 110:
            raise InputError(f"The age of a phantom must be 0 to 110 years, not {years:g}.")
    if seed < 0:
        raise InputError(f"The seed of a phantom must be 0 or larger, not {seed}.")
    pose, look, grain = (_stream(cause, seed) for cause in ("pose", "look", "grain"))
    drawn = age + VARIABILITY * look.standard_normal(2)
    ventricles = float(drawn[0] if ventricle_age is None else ventricle_age)
    cortex = float(drawn[1] if cortex_age is None else cortex_age)
    left = cortex if left_cortex_age is None else float(left_cortex_age)
    gm, wm, csf, brighter = _tissues(ventricles, cortex, left)
    wm_value, gm_value, csf_value = (
        0.86 + 0.02 * look.standard_normal(),
        0.58 + 0.02 * look.standard_normal(),
        0.2,
    )
    anatomy = _anatomy()
    image = wm_value * wm + (gm_value + brighter) * gm + csf_value * csf + anatomy.outside

    matrix = _pose(pose)
    out = np.diag([SPACING, SPACING, SPACING, 1.0])
    out[:3, 3] = OUT_ORIGIN
    back = np.linalg.inv(effect_affine()) @ np.linalg.inv(matrix) @ out
    index = np.indices(OUT_SHAPE, dtype=np.float32).reshape(3, -1)
    place = (back[:3, :3] @ index + back[:3, 3:]).reshape(3, *OUT_SHAPE).astype(np.float32)
    place += _deformation(seed)
    head = ndimage.map_coordinates(image.astype(np.float32), place, order=1)
    if not clean:
        head = head * _shading(seed)
        sigma = 0.018
        noise = sigma * grain.standard_normal((2, *OUT_SHAPE), dtype=np.float32)
        head = np.hypot(head + noise[0], noise[1])  # magnitude images have Rician noise
    data = np.clip(np.rint(1000 * head), 0, 2000).astype(np.int16)
    volume = Volume(data, out, "ras", history=("synthetic ageing head",))
    return volume, PhantomTruth(float(age), matrix, ventricles, cortex, left)


def _stream(cause: str, seed: int) -> np.random.Generator:
    """Random numbers of one cause, independent of the age and of the other causes."""
    return np.random.default_rng(
        [7, ("pose", "shape", "look", "shade", "grain").index(cause), seed]
    )


# These two take nearly all the time of a head. They are cached for the same subject at another age.
@functools.lru_cache(maxsize=1)
def _deformation(seed: int) -> np.ndarray:
    """Smooth displacement, (3, *OUT_SHAPE) voxels."""
    out = _smooth(_stream("shape", seed), 3, (5, 6, 6)) * (3.0 / SPACING)
    out.setflags(write=False)
    return out


@functools.lru_cache(maxsize=1)
def _shading(seed: int) -> np.ndarray:
    """Gain of the coil, (*OUT_SHAPE)."""
    out = np.exp(0.06 * _smooth(_stream("shade", seed), 1, (4, 4, 4))[0])
    out.setflags(write=False)
    return np.asarray(out)


def _pose(generator: np.random.Generator) -> np.ndarray:
    """(4, 4) template mm to subject mm: size of the head, rotation and shift."""
    size = 0.88 * (1 + 0.04 * np.clip(generator.standard_normal(), -2, 2))
    stretch = size * (1 + 0.02 * np.clip(generator.standard_normal(3), -2, 2))
    turn = Rotation.from_euler("xyz", generator.uniform(-8, 8, 3), degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag(stretch)
    matrix[:3, 3] = generator.uniform(-8, 8, 3) + np.array([0.0, 10.0, -5.0])
    return matrix


def _smooth(generator: np.random.Generator, fields: int, knots: tuple[int, int, int]) -> np.ndarray:
    """Smooth random fields (fields, *OUT_SHAPE), standard deviation 1 at the knots."""
    coarse = generator.standard_normal((fields, *knots)).astype(np.float32)
    zoom = [n / k for n, k in zip(OUT_SHAPE, knots, strict=True)]
    return np.stack(
        [ndimage.zoom(one, zoom, order=3, mode="nearest", grid_mode=True) for one in coarse]
    )


def write_cohort(
    folder: str | Path, number: int, seed: int, *, progress: Callable[[float], None] | None = None
) -> Path:
    """Write a cohort: NIfTI files and a table, ages evenly spread over 20 to 85 years.

    Parameters
    ----------
    folder : str or pathlib.Path
        Created if it is missing.
    number : int
        Number of phantoms, 1 to 100,000.
    seed : int
        Seed of the cohort; cohorts with different seeds share no subject.
    progress : callable, optional
        Called with a fraction, 0 to 1.

    Returns
    -------
    pathlib.Path
        The table, with the columns `subject`, `file`, `age_years` and `sha256`.

    Raises
    ------
    InputError
        Number or seed is out of range, or the folder cannot be written.
    """
    if not 1 <= number <= 100_000:
        raise InputError(f"A cohort has 1 to 100,000 phantoms, not {number}.")
    if seed < 0:
        raise InputError(f"The seed of a cohort must be 0 or larger, not {seed}.")
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {target} could not be made: {error.strerror}.") from error
    generator = np.random.default_rng([11, seed])
    strata = (generator.permutation(number) + generator.uniform(0, 1, number)) / number
    ages = np.round(AGES[0] + (AGES[1] - AGES[0]) * strata, 2)
    rows = ["subject,file,age_years,sha256"]
    for n, age in enumerate(ages):
        name = f"phantom-{seed}-{n + 1:05d}"
        file = write_volume(phantom(float(age), seed * 100_000 + n), target / f"{name}.nii.gz")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        rows.append(f"{name},{name}.nii.gz,{age},{digest}")
        if progress is not None:
            progress((n + 1) / number)
    table = target / "table.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table
