"""Find the head in an ultrasound image: its ellipse, and whether there is a head at all.

A small network (`expert.imaging.outline_network`) reads the whole image, then the head turned
upright and enlarged, each time in all four mirrored copies. The ellipse has the moments of what was
found. In its frame, the head's centre is in the middle and its major axis lies along the rows;
which end is the front, and which side is the left one, is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from expert.features.head_frame import FILL, MIRRORS
from expert.features.threads import one_thread
from expert.imaging.brain_finding import largest_component
from expert.imaging.volume import Volume

if TYPE_CHECKING:
    from expert.imaging.outline_network import OutlineNetwork

READ_FILL = 0.7
"""Fraction of the network's square that the major axis fills after the first reading."""
READINGS = 4
"""Readings of an image: one of the whole, the others of the head's frame."""
SHARP = 4.0
"""How steeply probabilities become inside (1) and outside (0)."""
SMALLEST = 30
"""Pixels of the network's square that are the least head."""
CONFIDENT = 0.9
"""Below this confidence no head was found."""
RANGE_MM = (45.0, 400.0)
"""Circumferences of heads of 12 to 42 weeks (56 to 357 mm, Hadlock 1984), with a margin."""
WIDTH_MM = (38.0, 300.0)
"""Longer side of the images of HC18 (40 to 261 mm), with a margin."""
EDGE = 1.08
"""What is farther from the centre than this many times the ellipse is black in the frame."""


@dataclass(frozen=True)
class HeadOutline:
    """The ellipse of a head, in mm of the image (pixels where the pixel size is unknown)."""

    center: tuple[float, float]
    """Along the columns (down) and the rows (right); the centre of the first pixel is 0."""
    semi_major: float
    semi_minor: float
    angle: float
    """From the direction of the rows (right) to the major axis, clockwise as the image is drawn;
    radians, -π/2 to π/2."""
    confidence: float
    """Dice coefficient of the ellipse and of what was found, 0 to 1; the least of all readings."""
    width: float = float("nan")
    """Longer side of the image."""

    @property
    def circumference(self) -> float:
        """By Ramanujan's formula."""
        a, b = self.semi_major, self.semi_minor
        return float(np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b))))

    @property
    def refusal(self) -> str:
        """One sentence if there is no head, or one of impossible size; else empty."""
        if self.confidence < CONFIDENT:
            return (
                "No fetal head was found in this image: open an ultrasound image that shows the "
                "whole outline of the head."
            )
        low, high = RANGE_MM
        if not low <= self.circumference <= high:
            return (
                f"The head in this image would have a circumference of {self.circumference:.0f} "
                "mm, which is impossible at 12 to 42 weeks (56 to 357 mm): check the pixel size."
            )
        return ""

    @property
    def doubt(self) -> str:
        """One sentence if the pixel size is unusual; else empty."""
        low, high = WIDTH_MM
        if low <= self.width <= high:
            return ""
        return (
            f"The longer side of this image would be {self.width:.0f} mm, that of the training "
            f"images is 40 to 261 mm: check the pixel size, on which the prediction depends."
        )


def frame_to_mm(outline: HeadOutline, shape: tuple[int, ...], fill: float) -> np.ndarray:
    """The head's frame, in which the major axis fills a fraction of the rows.

    Parameters
    ----------
    outline : HeadOutline
    shape : tuple[int, ...]
        Rows and columns of the frame.
    fill : float

    Returns
    -------
    (2, 3) ndarray
        Row and column of the frame to mm of the image.
    """
    step = 2 * outline.semi_major / (fill * shape[1])
    cosine, sine = np.cos(outline.angle), np.sin(outline.angle)
    matrix = step * np.array([[cosine, sine], [-sine, cosine]])
    offset = np.array(outline.center) - matrix @ ((np.array(shape) - 1) / 2)
    return np.asarray(np.c_[matrix, offset])


def head_frame(
    volume: Volume, outline: HeadOutline, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A head in its frame.

    Parameters
    ----------
    volume : Volume
        2D.
    outline : HeadOutline
    shape : tuple[int, ...]
        Rows and columns of the frame.

    Returns
    -------
    image : (*shape) float32 ndarray
        Grey values of the file; 0 outside the head.
    content : (*shape) float32 ndarray
        Fraction of each pixel that is head, 0 to 1.
    to_mm : (2, 3) ndarray
        Row and column of the frame to mm of the image.
    """
    to_mm = frame_to_mm(outline, shape, FILL)
    to_index = to_mm / np.asarray(volume.spacing[:2], float)[:, None]
    image = _sample(np.asarray(volume.data, np.float32), to_index, shape)
    place = np.indices(shape, float) - (np.array(shape)[:, None, None] - 1) / 2
    semi = FILL * shape[1] / 2
    across = place[0] / (semi * outline.semi_minor / outline.semi_major)
    radius = np.hypot(across, place[1] / semi)
    content = np.clip((EDGE - radius) * semi + 0.5, 0, 1).astype(np.float32)
    return image, content, to_mm


def square_of(volume: Volume, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole image in a square, and its index to that of the image (2, 3)."""
    spacing = np.asarray(volume.spacing[:2], float)
    step = (np.array(volume.shape) * spacing).max() / size / spacing
    offset = (np.array(volume.shape) - 1) / 2 - step * (size - 1) / 2
    to_index = np.c_[np.diag(step), offset]
    return _sample(_grey_values(volume), to_index, (size, size)), to_index


def find_outline(volume: Volume, network: OutlineNetwork | None = None) -> HeadOutline:
    """Find the head in an ultrasound image.

    Parameters
    ----------
    volume : Volume
        2D.
    network : OutlineNetwork, optional
        Instead of the one in the package.

    Returns
    -------
    HeadOutline
        With confidence 0, and an ellipse that fills the image, where nothing was found.
    """
    from expert.imaging.outline_network import SIZE, load_outline_network

    network = load_outline_network() if network is None else network
    spacing = np.asarray(volume.spacing[:2], float)
    size = np.array(volume.shape) * spacing
    down, right = (float(n) for n in (size - spacing) / 2)
    upright = 0.0 if size[1] >= size[0] else np.pi / 2
    outline = HeadOutline(
        (down, right), float(size.max()) / 2, float(size.min()) / 2, upright, 0.0, float(size.max())
    )
    image, (seen, to_index) = _grey_values(volume), square_of(volume, SIZE)
    to_mm = to_index * spacing[:, None]
    confidence = 1.0
    for _ in range(READINGS):
        found = fit_ellipse(_inside(network, seen), to_mm, outline.width)
        if found is None:
            return replace(outline, confidence=0.0)
        confidence = min(confidence, found.confidence)
        outline = replace(found, confidence=confidence)
        to_mm = frame_to_mm(outline, (SIZE, SIZE), READ_FILL)
        seen = _sample(image, to_mm / spacing[:, None], (SIZE, SIZE))
    return outline


def fit_ellipse(inside: np.ndarray, to_mm: np.ndarray, width: float) -> HeadOutline | None:
    """The ellipse with the moments of the largest region found.

    Parameters
    ----------
    inside : (n, n) ndarray
        Probabilities.
    to_mm : (2, 3) ndarray
        Its index to mm of the image.
    width : float
        Longer side of the image, mm.

    Returns
    -------
    HeadOutline, optional
        None where next to nothing was found.
    """
    every = inside > 0.5
    mask = largest_component(every)
    if mask.sum() < SMALLEST:
        return None
    near = ndimage.binary_dilation(mask, iterations=3)
    weight = np.where(near, np.clip(SHARP * (inside - 0.5) + 0.5, 0, 1), 0)
    pixels = np.indices(inside.shape).reshape(2, -1)
    share = weight.ravel() / weight.sum()
    center = pixels @ share
    off = pixels - center[:, None]
    values, vectors = np.linalg.eigh((off * share) @ off.T)
    minor, major = 2 * np.sqrt(np.maximum(values, 1e-6))
    radius = np.hypot(*(vectors.T @ off) / np.array([[minor], [major]])).reshape(inside.shape)
    ellipse = radius <= 1
    dice = 2 * (ellipse & every).sum() / (ellipse.sum() + every.sum())
    scale = float(np.sqrt(abs(np.linalg.det(to_mm[:, :2]))))  # the same along both axes
    down, right = to_mm[:, :2] @ vectors[:, 1]
    angle = (float(np.arctan2(down, right)) + np.pi / 2) % np.pi - np.pi / 2
    middle = to_mm[:, :2] @ center + to_mm[:, 2]
    place = (float(middle[0]), float(middle[1]))
    return HeadOutline(place, scale * major, scale * minor, angle, float(dice), width)


def _inside(network: OutlineNetwork, image: np.ndarray) -> np.ndarray:
    """(n, n) probabilities, the mean of four mirrored copies."""
    import torch

    read = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    with torch.inference_mode(), one_thread():
        found = network(torch.cat([read.flip(axes) for axes in MIRRORS])).sigmoid()
        copies = [one.flip(axes) for one, axes in zip(found, MIRRORS, strict=True)]
        return np.asarray(torch.stack(copies).mean(0)[0].numpy())


def _grey_values(volume: Volume) -> np.ndarray:
    """(rows, columns) float32, 0 to 1; how much of the image is black has no effect."""
    data = np.asarray(volume.data, np.float32)
    low = float(data.min())
    seen = data[data > low + 0.02 * (float(data.max()) - low)]
    high = float(np.percentile(seen, 99)) if seen.size else low + 1
    return np.asarray(np.clip((data - low) / max(high - low, 1e-6), 0, 1), np.float32)


def _sample(image: np.ndarray, to_index: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An image on another grid: linear, smoothed where it becomes smaller, 0 outside.

    `to_index` (2, 3) is from the index of the new grid to that of the image.
    """
    steps = np.linalg.norm(to_index[:, :2], axis=1)
    blurred = ndimage.gaussian_filter(image, np.maximum(steps - 1, 0) / 2)
    moved = ndimage.affine_transform(blurred, to_index[:, :2], to_index[:, 2], shape, order=1)
    return np.asarray(moved, np.float32)
