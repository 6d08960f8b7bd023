"""Drawn ultrasound images: a fetal head with skull and midline, and a bone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from expert.imaging.volume import Volume

PIXEL_MM = 0.25


def drawn_head(
    angle_deg: float = 20.0,
    semi_major_px: float = 105.0,
    center: tuple[float, float] = (140.0, 190.0),
    shape: tuple[int, int] = (270, 400),
    seed: int = 1,
) -> Volume:
    """A head whose ellipse is known: the minor axis is 0.79 of the major one."""
    generator = np.random.default_rng(seed)
    rows, columns = np.indices(shape, float)
    y, x = rows - center[0], columns - center[1]
    angle = np.deg2rad(angle_deg)
    along = (x * np.cos(angle) + y * np.sin(angle)) / semi_major_px
    across = (y * np.cos(angle) - x * np.sin(angle)) / (0.79 * semi_major_px)
    radius = np.hypot(along, across)
    speckle = ndimage.gaussian_filter(generator.rayleigh(1.0, shape), 1.2)
    level = np.where(radius < 1, 0.12, 0.22)
    level[(np.abs(across) < 0.02) & (radius < 0.85)] = 0.5
    for side in (-0.35, 0.35):
        level[np.hypot(along - 0.4, (across - side) / 0.5) < 0.2] = 0.02
    skull = 1.2 * np.exp(-(((radius - 0.98) * 30) ** 2)) * (0.5 + 0.5 * np.abs(across))
    image = np.clip(level * speckle + skull, 0, 1)
    affine = np.diag([PIXEL_MM, PIXEL_MM, 1, 1])
    return Volume((255 * image).astype(np.uint8), affine, "image")


def drawn_bone(seed: int = 1) -> Volume:
    """A bright bar in speckle, like a femur."""
    generator = np.random.default_rng(seed)
    rows, columns = np.indices((270, 400), float)
    bar = np.clip(90 - np.abs(columns - 200), 0, 1) * np.exp(-(((rows - 130) / 7) ** 2))
    speckle = ndimage.gaussian_filter(generator.rayleigh(1.0, rows.shape), 1.2)
    image = np.clip(0.12 * speckle + 0.9 * bar, 0, 1)
    affine = np.diag([PIXEL_MM, PIXEL_MM, 1, 1])
    return Volume((255 * image).astype(np.uint8), affine, "image")
