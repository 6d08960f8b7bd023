"""Heads as they come from clinics and archives: stripped, defaced, cropped, thick slices, turned.

Each change keeps every voxel at its place in the world, or says how the head was moved, so that a
known brain mask stays true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from expert.imaging.head_changes import GreyValues, head_values, to_grid
from expert.imaging.scanner_simulation import add_bias_field, add_noise, change_contrast
from expert.imaging.volume import Volume

ANGLES_DEG = (-60, -45, -30, -15, 15, 30, 45, 60)


@dataclass(frozen=True, eq=False)
class Head:
    """A head with its brain mask, in RAS orientation."""

    volume: Volume
    mask: np.ndarray
    """(i, j, k) bool, on the volume's grid."""


Change = Callable[[Head, np.random.Generator], Volume]


def _heights(head: Head) -> np.ndarray:
    """(k,) mm above the lowest voxel of the brain, for slices along the last axis."""
    lowest = np.flatnonzero(head.mask.any(axis=(0, 1))).min()
    return np.asarray((np.arange(head.mask.shape[2]) - lowest) * head.volume.spacing[2])


def stripped(head: Head, _: np.random.Generator) -> Volume:
    """Only the brain."""
    return replace(head.volume, data=head_values(head.volume) * head.mask)


def loosely_stripped(head: Head, _: np.random.Generator) -> Volume:
    """The brain with a rim of 6 mm."""
    reach = 6 / head.volume.spacing[0]
    near = ndimage.distance_transform_edt(~head.mask) <= reach
    return replace(head.volume, data=head_values(head.volume) * near)


def defaced(head: Head, _: np.random.Generator) -> Volume:
    """Without face: black in front of the brain, below its upper half."""
    data = head_values(head.volume).copy()
    front = np.flatnonzero(head.mask.any(axis=(0, 2))).max()
    low = _heights(head) < 50
    data[:, front - 2 :, low] = 0
    return replace(head.volume, data=data)


def tightly_cropped(head: Head, _: np.random.Generator) -> Volume:
    """A field of view of the brain and 4 mm around it."""
    margin = round(4 / head.volume.spacing[0])
    places = np.argwhere(head.mask)
    low = np.maximum(places.min(axis=0) - margin, 0)
    high = places.max(axis=0) + margin + 1
    affine = head.volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return replace(head.volume, data=head_values(head.volume)[part], affine=affine)


def top_cut(head: Head, _: np.random.Generator) -> Volume:
    """The uppermost 12 mm of the brain are outside the field of view."""
    top = np.flatnonzero(head.mask.any(axis=(0, 1))).max()
    kept = top - round(12 / head.volume.spacing[2])
    return replace(head.volume, data=head_values(head.volume)[:, :, :kept])


def bright_fat(head: Head, _: np.random.Generator) -> Volume:
    """Fat of the scalp at 2.5 times its brightness."""
    data = head_values(head.volume)
    outside = ~ndimage.binary_dilation(head.mask, iterations=3)
    bright = outside & (data > np.percentile(data[head.mask], 50))
    return replace(head.volume, data=np.where(bright, 2.5 * data, data))


def contrast_agent(head: Head, _: np.random.Generator) -> Volume:
    """Bright vessels and dura at the rim of the brain."""
    data = head_values(head.volume)
    rim = head.mask ^ ndimage.binary_erosion(head.mask, iterations=1)
    dark = data < np.percentile(data[head.mask], 20)
    bright = np.percentile(data[head.mask], 99) * 1.3
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(data.shape), 1)
    return replace(head.volume, data=np.where(rim & dark & (noise > 0.05), bright, data))


def strong_bias(head: Head, generator: np.random.Generator) -> Volume:
    """Two bias fields of up to 40 % each, as of a surface coil."""
    return add_bias_field(add_bias_field(head.volume, generator), generator)


def spacing(*size: float) -> Change:
    """Another voxel size, mm."""
    return lambda head, _: to_grid(head.volume, size)


def turned(axis: int, degrees: float) -> Change:
    """The head turned about an axis (0 right, 1 front, 2 up); the affine follows."""

    def change(head: Head, _: np.random.Generator) -> Volume:
        move = turn_about_center(head.volume, axis, degrees)
        return replace(head.volume, affine=move @ head.volume.affine)

    return change


def turn_about_center(volume: Volume, axis: int, degrees: float) -> np.ndarray:
    """(4, 4) rotation in the world about the centre of the volume."""
    middle = volume.affine @ [*((np.array(volume.shape) - 1) / 2), 1]
    move = np.eye(4)
    move[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * np.eye(3)[axis]).as_matrix()
    move[:3, 3] = middle[:3] - move[:3, :3] @ middle[:3]
    return move


CHANGES: dict[str, Change] = {
    "as it is": lambda head, _: head.volume,
    "skull-stripped": stripped,
    "stripped with a rim of 6 mm": loosely_stripped,
    "defaced": defaced,
    "tight crop": tightly_cropped,
    "top of the brain cut (12 mm)": top_cut,
    "bright fat": bright_fat,
    "contrast agent": contrast_agent,
    "strong bias field": strong_bias,
    "noise": lambda head, g: add_noise(head.volume, g),
    "other contrast curve": lambda head, g: change_contrast(head.volume, g),
    "1 mm": spacing(1, 1, 1),
    "slices of 5 mm": spacing(1, 1, 5),
    "turned by 30° about right": turned(0, 30),
    "turned by 30° about front": turned(1, 30),
    "turned by 30° about up": turned(2, 30),
}
"""Good heads: the brain must be found in all of them."""


def _inverted(head: Head, _: np.random.Generator) -> Volume:
    data = head_values(head.volume)
    top = np.percentile(data[head.mask], 99)
    values = np.where(data > 0.12 * top, np.clip(1.15 * top - data, 0.05 * top, None), 0)
    return replace(head.volume, data=values.astype(np.float32))


def _flair_like(head: Head, _: np.random.Generator) -> Volume:
    """Fluid dark, grey matter brighter than white matter."""
    data = head_values(head.volume)
    white = np.percentile(data[head.mask], 85)
    level = data / white
    curve = np.interp(level, [0, 0.35, 0.75, 1.0, 1.3, 3], [0, 0.15, 1.0, 0.75, 0.7, 1.2])
    return replace(head.volume, data=(1000 * curve).astype(np.float32))


def _ct_like(head: Head, generator: np.random.Generator) -> Volume:
    """Bone bright, brain one grey value, soft tissue similar."""
    data = head_values(head.volume)
    outside = ndimage.distance_transform_edt(~head.mask) * head.volume.spacing[0]
    out = np.where(data > 0.15 * np.percentile(data, 99), 40.0, -1000.0)
    out[head.mask] = 35.0
    out[(outside > 2) & (outside < 9)] = 900.0
    return replace(head.volume, data=(out + 5 * generator.standard_normal(data.shape)).astype("f4"))


def _ball(radius_mm: float, hole: bool) -> Change:
    def change(head: Head, generator: np.random.Generator) -> Volume:
        shape = (96, 96, 96)
        distance = 2.0 * np.linalg.norm(np.indices(shape) - 47.5, axis=0)
        data = 100.0 * (distance < radius_mm)
        if hole:
            data[distance < 0.4 * radius_mm] = 20
        affine = np.diag([2.0, 2, 2, 1])
        return Volume((data + 2 * generator.standard_normal(shape)).astype(np.float32), affine)

    return change


def _no_brain(head: Head, generator: np.random.Generator) -> Volume:
    """The head with water in place of its brain."""
    data = head_values(head.volume).copy()
    full = ndimage.binary_dilation(head.mask, iterations=2)
    data[full] = np.percentile(data, 90) + 10 * generator.standard_normal(int(full.sum()))
    return replace(head.volume, data=data)


def _neck(head: Head, _: np.random.Generator) -> Volume:
    """Everything below the brain's centre is kept, as in a scan of the neck."""
    return replace(
        head.volume, data=head_values(head.volume)[:, :, : int((_heights(head) < 15).sum())]
    )


WRONG: dict[str, Change] = {
    "inverted, like T2": _inverted,
    "like FLAIR": _flair_like,
    "like CT": _ct_like,
    "water in place of the brain": _no_brain,
    "neck and lower face": _neck,
    "ball of water": _ball(80, False),
    "bottle with a bubble": _ball(75, True),
    "noise alone": lambda _, g: Volume(
        g.random((90, 90, 90), dtype=np.float32), np.diag([2.0, 2, 2, 1])
    ),
    "outline (threshold mask)": lambda head, _: replace(
        head.volume,
        data=(head_values(head.volume) > 0.2 * GreyValues(head_values(head.volume)).white).astype(
            np.float32
        ),
    ),
    "brain mask": lambda head, _: replace(head.volume, data=head.mask.astype(np.float32)),
}
"""What must be refused."""
