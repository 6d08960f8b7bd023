"""Measures of the outline network on images that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from expert.imaging.head_outline import HeadOutline, find_outline
from expert.imaging.outline_network import OutlineNetwork
from expert.imaging.volume import Volume, read_volume
from studies.outline.examples import Outlines, radius

ANGLES_DEG = tuple(range(0, 360, 30))
POINTS = 180
"""Points of an outline whose distances are measured."""


@dataclass(frozen=True)
class Found:
    """One held-out image."""

    outline: HeadOutline
    dice: float
    hausdorff_mm: float
    error_mm: float
    """Circumference found minus that of the annotated ellipse."""
    angle_deg: float
    """Of the major axis, from the annotated one."""


def ellipse_of(outline: HeadOutline, pixel_mm: float) -> np.ndarray:
    """(5,) ellipse in pixels, as in `Outlines.ellipses`."""
    lengths = np.array([*outline.center, outline.semi_major, outline.semi_minor]) / pixel_mm
    return np.array([*lengths, outline.angle])


def circumference(semi_major: float, semi_minor: float) -> float:
    """Of an ellipse, by the formula of `HeadOutline`."""
    return HeadOutline((0, 0), semi_major, semi_minor, 0, 1).circumference


def _points(ellipse: np.ndarray) -> np.ndarray:
    """(POINTS, 2) rows and columns on an ellipse."""
    turn = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    along, across = ellipse[2] * np.cos(turn), ellipse[3] * np.sin(turn)
    cosine, sine = np.cos(ellipse[4]), np.sin(ellipse[4])
    down = ellipse[0] + along * sine + across * cosine
    return np.stack([down, ellipse[1] + along * cosine - across * sine], axis=1)


def compare(outline: HeadOutline, table: Outlines, row: int, shape: tuple[int, ...]) -> Found:
    """An outline found and the annotated one."""
    pixel, true = float(table.pixel_mm[row]), table.ellipses[row]
    mine = ellipse_of(outline, pixel)
    rows, columns = np.indices(shape)
    one, other = (radius(rows, columns, ellipse) <= 1 for ellipse in (true, mine))
    apart = np.linalg.norm(_points(true)[:, None] - _points(mine)[None], axis=2)
    turned = np.rad2deg((outline.angle - true[4] + np.pi / 2) % np.pi - np.pi / 2)
    return Found(
        outline,
        float(2 * (one & other).sum() / (one.sum() + other.sum())),
        pixel * float(max(apart.min(0).max(), apart.min(1).max())),
        outline.circumference - pixel * circumference(*true[2:4]),
        float(turned),
    )


def read(folder: Path, table: Outlines, row: int) -> Volume:
    """An image with its pixel size."""
    return read_volume(folder / table.files[row], pixel_size_mm=float(table.pixel_mm[row]))


def held_out(
    folder: Path,
    table: Outlines,
    parts: list[np.ndarray],
    networks: list[OutlineNetwork],
    progress: Callable[[str, float], None],
) -> dict[int, Found]:
    """Every image by the network that has not seen its exam."""
    found: dict[int, Found] = {}
    for rows, network in zip(parts, networks, strict=True):
        for row in rows.tolist():
            volume = read(folder, table, row)
            found[row] = compare(find_outline(volume, network), table, row, volume.shape)
            progress("heads", len(found) / len(table.files))
    return found


def turned(volume: Volume, degrees: float, mirrored: bool = False) -> Volume:
    """An image turned about its centre on a larger black canvas, linear; mirrored first."""
    data = np.asarray(volume.data, np.float32)
    data = data[:, ::-1] if mirrored else data
    side = int(np.ceil(np.hypot(*data.shape))) + 2
    pad = [((side - n) // 2, side - n - (side - n) // 2) for n in data.shape]
    out = ndimage.rotate(np.pad(data, pad), degrees, reshape=False, order=1)
    return Volume(np.rint(out).astype(np.uint8), volume.affine, volume.space)


def refused(data: Path, network: OutlineNetwork, seed: int) -> dict[str, tuple[int, int]]:
    """Images without a head that are refused, and their number, by kind.

    They are drawn with another seed than those of the training; the MR heads are of other people.
    """
    from studies.outline import examples

    generator = np.random.default_rng(seed)
    kinds: dict[str, list[np.ndarray]] = {
        "drawn bones": [examples.drawn_bone(generator) for _ in range(50)],
        "drawn shapes": [examples.drawn_shapes(generator) for _ in range(50)],
        "noise and gradients": [examples.noise(generator) for _ in range(50)],
        "regions of speckle": [examples.speckled_blob(generator) for _ in range(50)],
        "slices of MR heads": [
            plane
            for file in sorted((data / "ixi" / "T1").glob("*.nii.gz"))[3::12]
            for plane in examples.mr_slices(read_volume(file).canonical(), generator)
        ],
    }
    out = {}
    for kind, images in kinds.items():
        said = [
            bool(find_outline(Volume((255 * np.clip(i, 0, 1)).astype(np.uint8), np.eye(4), "image"),
                              network).refusal)
            for i in images
        ]  # fmt: skip
        out[kind] = (sum(said), len(said))
    return out
