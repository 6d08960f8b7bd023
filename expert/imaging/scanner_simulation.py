"""Simulated scanners: the same head with another contrast, shading, noise, grid and data type.

The changes are made to a `Volume` in native space, before any preparation. The position of the
head in the world stays true, except with `move_head`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from expert.imaging.head_changes import (
    AIR_MM,
    TYPES,
    GreyValues,
    as_type,
    head_values,
    reorder,
    to_grid,
)
from expert.imaging.volume import Volume

Effect = Callable[[Volume, np.random.Generator], Volume]
"""A random change of a head."""
GAMMA = (0.6, 1.6)
"""Exponent of the contrast curve."""
CURVE_PARTS, CURVE_SPREAD = 6, 0.35
"""Parts of the random contrast curve, and standard deviation of the log of their slopes."""
SHADING = 0.4
"""Largest change of brightness by the bias field, as a fraction."""
NOISE = 0.06
"""Largest standard deviation of the noise, as a fraction of white matter."""
ISOTROPIC_MM, SLICES_MM, IN_PLANE_MM = (1.0, 2.5), (3.0, 5.0), (0.9, 1.5)
"""Voxel sizes of isotropic and of sliced images."""
FINEST = 0.75
"""Smallest new voxel size, as a fraction of the head's own: a finer grid shows nothing more."""
ROTATION_DEG, SHIFT_MM = 15.0, 15.0
"""Largest rotation and shift."""
BELOW_TOP_MM = 175.0
"""What is never cut away: the brain ends less than this below the top of the head."""


def simulate_scanner(
    volume: Volume, seed: int, *, moved: bool = True, strength: float = 1.0
) -> Volume:
    """The same head from another scanner: every effect of `EFFECTS`, drawn anew for every seed.

    Parameters
    ----------
    volume : Volume
        A 3D head in native space.
    seed : int
        The same seed gives the same scanner, whatever the head.
    moved : bool
        Whether the head also lies elsewhere in the scanner; without it, a known registration
        stays true.
    strength : float
        Of contrast, bias field, noise and voxel size, 0 (none) to 1 (all that scanners do).

    Returns
    -------
    Volume
        Another grid, grey values and data type; the affine is true.

    Raises
    ------
    InputError
        The volume is not 3D, or empty.
    """
    draw = {name: _generator(seed, name) for name in EFFECTS}
    out = crop_field_of_view(volume, draw["field of view"])
    out = change_contrast(out, draw["contrast"], strength)
    out = add_bias_field(out, draw["bias field"], strength)
    # Both changes of the grid with a single interpolation.
    spacing = draw_spacing(out, draw["voxel size"], strength)
    out = to_grid(out, spacing, draw_rotation(draw["grid rotation"]))
    for name in ("noise", "head position", "data type", "axis order"):
        if name == "noise":
            out = add_noise(out, draw[name], strength)
        elif name != "head position" or moved:
            out = EFFECTS[name](out, draw[name])
    return replace(out, history=(*volume.history, "simulated scanner"))


def apply_effect(volume: Volume, name: str, seed: int) -> Volume:
    """One effect alone, with the same draw as in `simulate_scanner`.

    Parameters
    ----------
    volume : Volume
        A 3D head in native space.
    name : str
        Of `EFFECTS`.
    seed : int

    Returns
    -------
    Volume
    """
    return EFFECTS[name](volume, _generator(seed, name))


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, list(EFFECTS).index(name)])


def change_contrast(
    volume: Volume, generator: np.random.Generator, strength: float = 1.0
) -> Volume:
    """Grey values through a random monotone curve: a power, then a smooth curve.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator
    strength : float
        Of the change, 0 to 1.

    Returns
    -------
    Volume
        float32; the darkest and the brightest value stay.
    """
    data = head_values(volume)
    values = GreyValues(data)
    gamma = float(np.exp(strength * generator.uniform(*np.log(GAMMA))))
    slopes = np.exp(strength * CURVE_SPREAD * generator.standard_normal(CURVE_PARTS))
    heights = np.r_[0, np.cumsum(slopes) / slopes.sum()]
    curve = PchipInterpolator(np.linspace(0, 1, CURVE_PARTS + 1), heights)
    steps = 1024
    table = curve(np.linspace(0, 1, steps + 1) ** gamma).astype(np.float32)
    place = np.maximum((data - values.low) * (steps / values.top), 0)
    index = np.minimum(place.astype(np.int32), steps - 1)
    # Beyond the last step the curve goes on straight.
    risen = table[index] + (place - index).astype(np.float32) * np.diff(table)[index]
    return replace(volume, data=values.low + values.top * risen)


def add_bias_field(volume: Volume, generator: np.random.Generator, strength: float = 1.0) -> Volume:
    """Smooth shading: values times a sum of a few slow cosines, up to ±`SHADING` in the head.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator
    strength : float
        Of the change, 0 to 1.

    Returns
    -------
    Volume
        float32.
    """
    data = head_values(volume)
    values = GreyValues(data)
    reached = strength * generator.uniform(0, SHADING)
    weights = generator.standard_normal((3, 3, 3)) / (1 + np.indices((3, 3, 3)).sum(axis=0))
    weights[0, 0, 0] = 0
    phases = generator.uniform(0, np.pi / 2, (3, 3))

    def field(steps: Sequence[int]) -> np.ndarray:
        out = weights
        for axis, (size, step) in enumerate(zip(data.shape, steps, strict=True)):
            place = np.arange(0, size, step) / max(size - 1, 1)
            waves = np.cos(np.pi * place[:, None] * np.arange(3) + phases[axis] * [0, 1, 1])
            out = np.tensordot(out, waves.astype(np.float32), axes=(0, 1))
        return np.asarray(out, dtype=np.float32)

    head = field(values.steps)[values.head]
    center, reach = (head.max() + head.min()) / 2, max((head.max() - head.min()) / 2, 1e-6)
    shading = np.clip(1 + reached * (field((1, 1, 1)) - center) / reach, 0.2, 2)
    return replace(volume, data=values.low + (data - values.low) * shading)


def add_noise(volume: Volume, generator: np.random.Generator, strength: float = 1.0) -> Volume:
    """Rician noise: the magnitude of a complex signal with normal noise, up to `NOISE`.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator
    strength : float
        Of the change, 0 to 1.

    Returns
    -------
    Volume
        float32.
    """
    data = head_values(volume)
    values = GreyValues(data)
    sigma = np.float32(strength * generator.uniform(0, NOISE) * values.white)
    real, imaginary = (
        sigma * generator.standard_normal(data.shape, dtype=np.float32) for _ in range(2)
    )
    real += data
    real -= values.low
    return replace(volume, data=values.low + np.hypot(real, imaginary))


def draw_spacing(
    volume: Volume, generator: np.random.Generator, strength: float = 1.0
) -> tuple[float, float, float]:
    """A random voxel size: isotropic or, in one of two draws, slices along a random axis.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator
    strength : float
        Of the change, 0 to 1.

    Returns
    -------
    tuple of 3 float
        mm per axis of the array, not much below the volume's own.
    """
    head_values(volume)
    sliced = generator.random() < 0.5
    axis = int(generator.integers(3))
    thickness, plane = generator.uniform(*SLICES_MM), generator.uniform(*IN_PLANE_MM)
    size = [float(generator.uniform(*ISOTROPIC_MM))] * 3
    if sliced:
        size = [float(thickness if n == axis else plane) for n in range(3)]
    first, second, third = (
        own + strength * (max(new, FINEST * own) - own)
        for new, own in zip(size, volume.spacing, strict=True)
    )
    return first, second, third


def draw_rotation(generator: np.random.Generator) -> np.ndarray:
    """A random rotation of up to `ROTATION_DEG` about a random axis.

    Parameters
    ----------
    generator : numpy.random.Generator

    Returns
    -------
    (3, 3) ndarray
    """
    axis = generator.standard_normal(3)
    angle = np.radians(generator.uniform(0, ROTATION_DEG))
    return np.asarray(Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix())


def change_voxel_size(volume: Volume, generator: np.random.Generator) -> Volume:
    """Another voxel size, see `draw_spacing`.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator

    Returns
    -------
    Volume
    """
    return to_grid(volume, draw_spacing(volume, generator))


def rotate_grid(volume: Volume, generator: np.random.Generator) -> Volume:
    """An oblique grid of the same voxel size, see `draw_rotation`.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator

    Returns
    -------
    Volume
    """
    return to_grid(volume, volume.spacing, draw_rotation(generator))


def crop_field_of_view(volume: Volume, generator: np.random.Generator) -> Volume:
    """A smaller field of view: a random part of the air and of the neck is cut away.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator

    Returns
    -------
    Volume
        The same voxels, fewer of them. The head down to `BELOW_TOP_MM` stays.
    """
    import nibabel as nib

    values = GreyValues(head_values(volume))
    steps = values.steps
    orientation = nib.io_orientation(volume.affine)
    kept = []
    for axis, size in enumerate(volume.shape):
        share = values.head.mean(axis=tuple(other for other in range(3) if other != axis))
        found = np.flatnonzero(share > 0.005)
        margin = int(np.ceil(AIR_MM / volume.spacing[axis])) + steps[axis]
        first, last = 0, size
        if found.size:
            first = max(0, int(found[0]) * steps[axis] - margin)
            last = min(size, int(found[-1]) * steps[axis] + margin + 1)
        if volume.space == "ras" and orientation[axis, 0] == 2:
            brain = int(np.ceil(BELOW_TOP_MM / volume.spacing[axis])) + margin
            if orientation[axis, 1] > 0:
                first = max(first, last - brain)
            else:
                last = min(last, first + brain)
        before, after = generator.uniform(0, 1, 2)
        kept.append(slice(int(before * first), size - int(after * (size - last))))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in kept]
    return replace(volume, data=volume.data[tuple(kept)], affine=affine)


def move_head(volume: Volume, generator: np.random.Generator) -> Volume:
    """The head in another position in the scanner: the voxels stay, the affine turns and shifts.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator

    Returns
    -------
    Volume
    """
    turn, shift = draw_rotation(generator), generator.uniform(-SHIFT_MM, SHIFT_MM, 3)
    middle = volume.affine @ [*((np.array(head_values(volume).shape) - 1) / 2), 1]
    move = np.eye(4)
    move[:3, :3] = turn
    move[:3, 3] = middle[:3] + shift - turn @ middle[:3]
    return replace(volume, affine=move @ volume.affine)


def change_data_type(volume: Volume, generator: np.random.Generator) -> Volume:
    """A random data type with a random scale and offset.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator

    Returns
    -------
    Volume
    """
    name = TYPES[int(generator.integers(len(TYPES)))]
    size, part = np.exp(generator.uniform(*np.log((500, 30000)))), generator.uniform(-0.2, 0.2)
    if name.startswith("float"):
        size = np.exp(generator.uniform(*np.log((1, 10000))))
    return as_type(volume, name, float(size), float(size * part))


def change_axis_order(volume: Volume, generator: np.random.Generator) -> Volume:
    """A random order and direction of the array's axes.

    Parameters
    ----------
    volume : Volume
    generator : numpy.random.Generator

    Returns
    -------
    Volume
    """
    head_values(volume)
    return reorder(volume, generator.permutation(3).tolist(), (generator.random(3) < 0.5).tolist())


EFFECTS: dict[str, Effect] = {
    "contrast": change_contrast,
    "bias field": add_bias_field,
    "noise": add_noise,
    "voxel size": change_voxel_size,
    "grid rotation": rotate_grid,
    "head position": move_head,
    "field of view": crop_field_of_view,
    "data type": change_data_type,
    "axis order": change_axis_order,
}
"""Each effect by its name."""
