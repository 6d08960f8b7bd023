"""Heads with random pose, contrast and artefacts, and what the head network should find in them.

Training by painted images follows SynthSeg [1]_: contrast, resolution and artefacts are drawn far
beyond those of real scanners, so that the network cannot rely on any of them.

References
----------
.. [1] Billot et al., "SynthSeg: Segmentation of brain MRI scans of any contrast and resolution
       without retraining", Medical Image Analysis 2023, arXiv:2107.09559.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from expert.imaging.brain_finding import SPACING_MM, normalise
from expert.imaging.head_network import COORDINATE_MM
from studies.heads.label_maps import TISSUE_OF_GROUP, Source

SIZE = 56
"""Voxels per axis: a head without its lower face, and some of the rest by random shifts."""


@dataclass(frozen=True, eq=False)
class Example:
    """One training example on the 4 mm grid."""

    image: Tensor
    """(1, n, n, n), 0 to 1."""
    tissues: Tensor
    """(4, n, n, n) fractions: outside, fluid, grey, white."""
    coordinates: Tensor
    """(n, n, n, 3) template RAS mm / 100."""
    to_template: np.ndarray
    """(4, 4) output index to template RAS mm, without the local deformation."""


class Device:
    """A seeded source of random numbers."""

    def __init__(self, seed: int, size: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.size = size

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.generator.random() < probability)

    def between(self, low: float, high: float, size: int | None = None) -> np.ndarray:
        """Uniform numbers."""
        return np.asarray(self.generator.uniform(low, high, size))

    def smooth(self, cells: int, channels: int = 1) -> Tensor:
        """(channels, size, size, size) smooth noise of unit variance on `cells`³ knots."""
        knots = torch.from_numpy(
            self.generator.standard_normal((1, channels, cells, cells, cells)).astype(np.float32)
        )
        return functional.interpolate(
            knots, (self.size,) * 3, mode="trilinear", align_corners=True
        )[0]


def rotation(angles: np.ndarray) -> np.ndarray:
    """(3, 3) rotation by angles (rad) about x, then y, then z."""
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        out = one @ out
    return out


def pose(draw: Device) -> np.ndarray:
    """(3, 3) from world mm of the output to mm of the subject, centred on the brain."""
    kind = draw.generator.random()
    limit = 0.26 if kind < 0.55 else 0.9
    matrix = rotation(draw.between(-limit, limit, 3))
    if draw.chance(0.5):
        matrix = matrix @ np.diag([-1.0, 1.0, 1.0])
    scale = float(draw.between(0.82, 1.22)) * draw.between(0.93, 1.07, 3)
    shear = np.eye(3) + np.triu(draw.generator.normal(0, 0.03, (3, 3)), 1)
    return np.asarray(matrix @ np.diag(scale) @ shear)


def example(source: Source, seed: int, size: int = SIZE) -> Example:
    """Draw one training example of a person.

    Parameters
    ----------
    source : Source
        From `studies.heads.label_maps.load_sources`.
    seed : int
        Of everything that is random.
    size : int
        Voxels per axis.

    Returns
    -------
    Example
    """
    draw = Device(seed, size)
    brain_middle = (np.linalg.inv(source.subject_to_template) @ [0.0, -18.0, 10.0, 1.0])[:3]
    matrix = pose(draw)
    empty = draw.chance(0.06)
    shift = draw.between(-35, 35, 3)
    if empty:  # far enough that no brain is left: face and neck, or nothing
        shift[int(draw.generator.integers(3))] = draw.generator.choice([-1, 1]) * 170.0
    index = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32)] * 3, indexing="ij"), -1)
    world = (index - (size - 1) / 2) * SPACING_MM + shift.astype(np.float32)
    to_subject = np.eye(4)
    to_subject[:3, :3] = matrix * SPACING_MM
    to_subject[:3, 3] = brain_middle + matrix @ (shift - (size - 1) / 2 * SPACING_MM)
    subject = torch.from_numpy(world.astype(np.float32)) @ torch.from_numpy(
        matrix.T.astype(np.float32)
    ) + torch.from_numpy(brain_middle.astype(np.float32))
    bend = draw.smooth(int(draw.generator.integers(3, 7)), channels=3) * float(draw.between(0, 3.5))
    subject = subject + bend.movedim(0, -1)
    sampled = _sample(source, subject)
    maps, mask = sampled[:-1], sampled[-1].clamp(0, 1)

    to_template = source.subject_to_template.astype(np.float32)
    coordinates = subject @ torch.from_numpy(to_template[:3, :3].T.copy()) + torch.from_numpy(
        to_template[:3, 3].copy()
    )
    whole = source.subject_to_template @ to_subject
    if np.linalg.det(matrix) < 0:  # a mirror image looks like a head itself
        coordinates = coordinates * torch.tensor([-1.0, 1.0, 1.0])
        whole = np.diag([-1.0, 1.0, 1.0, 1.0]) @ whole

    tissues = _tissues(source, maps, mask)
    image = _real(draw, maps[0]) if source.real else _painted(draw, maps, mask)
    brain = 1 - tissues[0]
    no_brain = not source.real and draw.chance(0.04)
    if no_brain:  # a head-shaped object without a brain
        level = float(draw.between(0, 1))
        image = image * (1 - mask) + mask * (level + 0.1 * draw.smooth(9)[0])
    image = _changed(draw, image, brain, coordinates)
    if no_brain or (not empty and draw.chance(0.03) and _object(draw, image)):
        tissues = torch.zeros(4, size, size, size)
        tissues[0] = 1
    return Example(
        torch.from_numpy(normalise(image.numpy()))[None],
        tissues,
        coordinates / COORDINATE_MM,
        whole,
    )


def _sample(source: Source, subject: Tensor) -> Tensor:
    """(C + 1, n, n, n) maps and mask at places in subject mm."""
    inverse = np.linalg.inv(source.affine).astype(np.float32)
    place = subject @ torch.from_numpy(inverse[:3, :3].T.copy()) + torch.from_numpy(
        inverse[:3, 3].copy()
    )
    volume = torch.from_numpy(np.concatenate([source.maps, source.mask[None]]).astype(np.float32))
    size = torch.tensor(volume.shape[1:], dtype=torch.float32)
    grid = (2 * place + 1) / size - 1
    return functional.grid_sample(volume[None], grid.flip(-1)[None], align_corners=False)[0]


def _tissues(source: Source, maps: Tensor, mask: Tensor) -> Tensor:
    if source.real:
        parts = maps[1:4]
        return torch.cat([1 - parts.sum(0, keepdim=True).clamp(0, 1), parts])
    kinds = torch.tensor(TISSUE_OF_GROUP)
    inside = maps[: len(TISSUE_OF_GROUP)]
    grey, white = inside[kinds == 1].sum(0), inside[kinds == 2].sum(0)
    fluid = (mask - grey - white).clamp(0, 1)
    return torch.stack([(1 - fluid - grey - white).clamp(0, 1), fluid, grey, white])


def _painted(draw: Device, maps: Tensor, mask: Tensor) -> Tensor:
    """An image of random contrast: each group has its own intensity and texture."""
    level = draw.between(0, 1, len(maps))
    if draw.chance(0.7):  # T1-like
        fluid, white = float(draw.between(0.02, 0.3)), float(draw.between(0.55, 1.0))
        grey = fluid + (white - fluid) * float(draw.between(0.35, 0.85))
        between = grey + (white - grey) * draw.between(-0.1, 0.9, 3)
        near = draw.between(-0.1, 0.1, 4)
        level[:2] = fluid, fluid + near[0] / 2
        level[2:7] = grey, grey + near[1], *between
        level[7:10] = white, white + near[2], white + near[3]
    if draw.chance(0.3):
        level[10:] = level[10:] * float(draw.between(0.2, 1.0))
    if draw.chance(0.3):  # bright fat
        level[10 + int(draw.generator.integers(len(maps) - 10))] *= float(draw.between(1, 2.5))
    image = torch.einsum("g,gxyz->xyz", torch.tensor(level, dtype=torch.float32), maps)
    air = (1 - maps.sum(0)).clamp(0, 1)
    if draw.chance(0.3):
        image = image + air * float(draw.between(0, 0.15))
    texture = float(draw.between(0, 0.12))
    return image * (1 + texture * draw.smooth(int(draw.generator.integers(8, 32)))[0])


def _real(draw: Device, image: Tensor) -> Tensor:
    """A real head with changed contrast."""
    image = image.clamp(0, 1) ** float(np.exp(draw.generator.normal(0, 0.3)))
    if draw.chance(0.12):
        image = (image > 0.06) * (1 - image)
    elif draw.chance(0.3):  # a smooth curve through random grey values
        knots = torch.cumsum(torch.from_numpy(draw.between(0.1, 1, 5)), 0)
        knots = torch.cat([torch.zeros(1), (knots - knots[0]) / (knots[-1] - knots[0])])[1:].float()
        place = image * 4
        low = place.floor().clamp(0, 3).long()
        image = knots[low] + (knots[low + 1] - knots[low]) * (place - low)
    return image


def _changed(draw: Device, image: Tensor, brain: Tensor, coordinates: Tensor) -> Tensor:
    """Skull stripping, defacing, field of view, bias field, resolution and noise."""
    if draw.chance(0.3):
        edge = brain + 0.25 * draw.smooth(int(draw.generator.integers(4, 12)))[0]
        kept = edge > float(draw.between(0.2, 0.7))
        if draw.chance(0.5):  # remnants
            near = functional.max_pool3d(kept[None, None].float(), 3, 1, 1)[0, 0]
            kept = kept | ((near > 0) & (draw.smooth(10)[0] > 0.8))
        image = image * kept
    elif draw.chance(0.25):  # defaced
        tilt, limit = float(draw.between(0.3, 1.2)), float(draw.between(62, 85))
        front = coordinates[..., 1] * 1.0 - tilt * (coordinates[..., 2] + 20)
        gone = front > limit
        image = image * ~gone + (gone * image.mean() if draw.chance(0.2) else 0)
    strength = float(draw.between(0, 0.35))
    image = image * torch.exp(strength * draw.smooth(int(draw.generator.integers(2, 5)))[0])
    if draw.chance(0.35):
        axis = int(draw.generator.integers(3))
        image = _blur(image, axis, float(draw.between(0.2, 1.1)))
    if draw.chance(0.4):
        for axis in range(3):
            image = _blur(image, axis, float(draw.between(0.1, 0.7)))
    sigma = float(draw.between(0, 0.05)) if draw.chance(0.6) else 0.0
    if sigma:
        noise = torch.from_numpy(
            draw.generator.standard_normal((2, *image.shape)).astype(np.float32)
        )
        image = ((image + sigma * noise[0]) ** 2 + (sigma * noise[1]) ** 2).sqrt()
    if draw.chance(0.55):  # field of view
        places = torch.nonzero(brain > 0.5)
        if len(places):
            low, high = places.min(0).values.numpy(), places.max(0).values.numpy()
            for axis in range(3):
                if draw.chance(0.6):
                    start = int(low[axis] + draw.between(-14, 1.5))
                    stop = int(high[axis] + 1 + draw.between(-1.5, 14))
                    cut = [slice(None)] * 3
                    for part in (slice(0, max(0, start)), slice(max(0, stop), None)):
                        cut[axis] = part
                        image[tuple(cut)] = 0
    return image


def _object(draw: Device, image: Tensor) -> bool:
    """Replace the image by one that is no head; always True."""
    shape = draw.smooth(int(draw.generator.integers(3, 8)))[0]
    kept = shape > float(draw.between(-0.5, 1.0))
    fill = float(draw.between(0.3, 1)) + float(draw.between(0, 0.3)) * draw.smooth(12)[0]
    image.copy_(kept * fill + 0.02 * torch.from_numpy(draw.generator.random(image.shape)).float())
    return True


def _blur(image: Tensor, axis: int, sigma: float) -> Tensor:
    radius = max(1, int(3 * sigma + 0.5))
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    moved = image.movedim(axis, -1)
    flat = moved.reshape(-1, 1, moved.shape[-1])
    return (
        functional.conv1d(flat, kernel[None, None], padding=radius)
        .reshape(moved.shape)
        .movedim(-1, axis)
    )
