"""Measure brain finding and registration: changed heads, wrong images, turned heads, all heads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.brain_finding import FoundBrain, find_brain
from expert.imaging.registration import distance_mm, register
from expert.imaging.template import load_template
from expert.imaging.tissue_values import TissueHead
from expert.imaging.volume import Volume, read_volume
from studies.heads.changes import ANGLES_DEG, CHANGES, WRONG, Head, turn_about_center
from studies.heads.label_maps import MUSE_FLUID, MUSE_WHITE

Progress = Callable[[str, float], None]
REGIONS = (23, 30, 31, 32, 36, 37, 47, 48, 51, 52, 55, 56, 57, 58, 59, 60, 4, 11, 35, 95, 38, 39)
"""DLMUSE regions whose centres are compared between heads."""
CAPTURED_MM = 5.0
"""A turned head is registered right if its brain is this near to that of the head as it is."""


@dataclass(frozen=True)
class Found:
    """What became of one image."""

    kind: str
    dice: float
    """Of the brain; NaN if there is none, or none was found."""
    seconds: float
    refused: str
    """Why there is no prediction; empty if there is one."""
    distance_mm: float = float("nan")
    """From the registration of the head as it is."""


def read_head(file: Path, masks: Path) -> Head:
    """A head of IXI with its mask, both in RAS orientation."""
    volume = read_volume(file).canonical()
    mask = next(masks.glob(f"{file.name.removesuffix('_T1.nii.gz')}*"))
    inside = np.asarray(nib.as_closest_canonical(nib.load(mask)).dataobj) > 0
    return Head(volume, inside)


def brain_dice(head: Head, found: FoundBrain, move: np.ndarray, seen: Volume) -> float:
    """Dice coefficient of the found brain and the true one, inside the field of view of `seen`.

    `move` (4, 4) is how the head was moved in the world.
    """
    affine = move @ head.volume.affine
    there = np.linalg.inv(found.affine) @ affine
    mine = ndimage.affine_transform(
        found.brain, there[:3, :3], there[:3, 3], head.mask.shape, order=1
    )
    index = np.argwhere(head.mask | (mine > 0.5)).T
    place = np.linalg.inv(seen.affine) @ affine
    inside = place[:3, :3] @ index + place[:3, 3:]
    limits = np.array(seen.shape)[:, None] - 0.5
    kept = ((inside > -0.5) & (inside < limits)).all(axis=0)
    truth, guess = head.mask[tuple(index[:, kept])], mine[tuple(index[:, kept])] > 0.5
    return float(2 * (truth & guess).sum() / max(truth.sum() + guess.sum(), 1))


def examine(head: Head, kind: str, seed: int) -> Found:
    """One changed head or wrong image through brain finding, registration and tissue values."""
    generator = np.random.default_rng(seed)
    good = kind in CHANGES
    volume = (CHANGES if good else WRONG)[kind](head, generator)
    move = volume.affine @ np.linalg.inv(head.volume.affine) if "turned" in kind else np.eye(4)
    dice, seconds, refused, distance = (float("nan"),) * 2 + ("", float("nan"))
    try:
        began = time.perf_counter()
        found = find_brain(volume)
        seconds = time.perf_counter() - began
        if good:
            dice = brain_dice(head, found, move, volume)
        registration = register(volume)
        refused = registration.message or TissueHead.of(volume, registration).refusal
        if good:
            usual = register(head.volume).template_to_subject
            distance = distance_mm(registration.template_to_subject, move @ usual)
    except InputError as error:
        refused = str(error)
    return Found(kind, dice, seconds, refused, distance)


def capture(head: Head) -> list[tuple[int, int, float]]:
    """Axis, angle and distance (mm) to the right registration, for turned heads."""
    usual = register(head.volume).template_to_subject
    out = []
    for axis in range(3):
        for angle in ANGLES_DEG:
            move = turn_about_center(head.volume, axis, angle)
            turned = replace(head.volume, affine=move @ head.volume.affine)
            try:
                found = register(turned)
                off = distance_mm(found.template_to_subject, move @ usual)
                off = float("inf") if found.message else off
            except InputError:
                off = float("inf")
            out.append((axis, angle, off))
    return out


@dataclass(frozen=True)
class Registered:
    """One head of the table."""

    brain: float
    white: float
    grey: float
    """Dice coefficients with the template's tissues."""
    found: float
    """Dice coefficient of the brain found and the true one."""
    centers: dict[int, np.ndarray]
    """Region to its centre in the template, mm."""
    seconds: float
    refused: str


def registered(file: Path, masks: Path, regions: Path) -> Registered:
    """Register one head and compare its labelled tissues with the template's."""
    head = read_head(file, masks)
    began = time.perf_counter()
    result = register(head.volume)
    seconds = time.perf_counter() - began
    label_file = next(regions.glob(f"{file.name.removesuffix('_T1.nii.gz')}*"))
    image = nib.as_closest_canonical(nib.load(label_file))
    labels = np.asarray(image.dataobj).astype(int)
    template = {name: load_template(name) for name in ("mask", "wm", "gm")}
    to_index = np.linalg.inv(image.affine) @ result.template_to_subject @ template["mask"].affine

    def there(mask: np.ndarray) -> np.ndarray:
        return np.asarray(
            ndimage.affine_transform(
                mask.astype(np.float32), to_index[:3, :3], to_index[:3, 3],
                template["mask"].shape, order=1,
            )
        )  # fmt: skip

    def dice(mask: np.ndarray, name: str) -> float:
        one, other = there(mask), template[name].data / float(template[name].data.max())
        return float(2 * np.minimum(one, other).sum() / (one.sum() + other.sum()))

    white = np.isin(labels, MUSE_WHITE)
    grey = (labels > 1) & ~white & ~np.isin(labels, MUSE_FLUID)
    back = np.linalg.inv(result.template_to_subject) @ image.affine
    centers = {
        region: back[:3, :3] @ np.argwhere(labels == region).mean(axis=0) + back[:3, 3]
        for region in REGIONS
        if (labels == region).any()
    }
    assert result.found is not None
    return Registered(
        dice(labels > 0, "mask"), dice(white, "wm"), dice(grey, "gm"),
        brain_dice(head, result.found, np.eye(4), head.volume), centers, seconds, result.message,
    )  # fmt: skip


def center_spread(rows: Iterable[Registered]) -> float:
    """Mean distance of a region's centre from the mean of all heads, mm."""
    found = list(rows)
    off = []
    for region in REGIONS:
        places = np.array([row.centers[region] for row in found if region in row.centers])
        if len(places):
            off.append(np.linalg.norm(places - places.mean(axis=0), axis=1))
    return float(np.concatenate(off).mean())


def map_in_processes(
    function: Callable[..., object], tasks: list[tuple[object, ...]], jobs: int, progress: Progress
) -> Iterator[object]:
    """Results in the order of the tasks."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(function, *task) for task in tasks]
        for done, future in enumerate(running, 1):
            yield future.result()
            progress("heads", done / len(tasks))
