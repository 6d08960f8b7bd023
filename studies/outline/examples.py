"""Examples for the outline network: ultrasound images turned at random, and images without a head.

Outlines are those of the public annotations. Nothing of the images becomes part of the project.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from expert.imaging.head_outline import square_of
from expert.imaging.outline_network import SIZE
from expert.imaging.volume import Volume, read_volume

SOURCE = 160
"""Rows and columns of the images that examples are drawn from."""
FRAMED = 0.5
"""Fraction of examples near the head's frame, as in the second pass; others are as in the first."""

PHOTOGRAPHS = (
    "camera", "coins", "text", "page", "moon", "clock", "brick", "grass", "gravel", "astronaut",
    "coffee", "chelsea", "rocket", "cell",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outlines:
    """Images of a table with their annotated ellipses."""

    files: tuple[str, ...]
    exams: np.ndarray
    """(N,) str."""
    pixel_mm: np.ndarray
    """(N,)."""
    circumference_mm: np.ndarray
    """(N,) of the table."""
    ellipses: np.ndarray
    """(N, 5) centre row and column, semi-axes (all pixels), angle of the major axis from the column
    axis towards the row axis (radians)."""

    def subset(self, rows: np.ndarray) -> Outlines:
        """The given rows."""
        return Outlines(
            tuple(self.files[row] for row in rows), self.exams[rows], self.pixel_mm[rows],
            self.circumference_mm[rows], self.ellipses[rows],
        )  # fmt: skip


def read_outlines(folder: Path) -> Outlines:
    """Read `labels.csv` and `ellipses.csv` of HC18."""
    with (folder / "ellipses.csv").open(encoding="utf-8") as source:
        drawn = {row["file"]: row for row in csv.DictReader(source)}
    with (folder / "labels.csv").open(encoding="utf-8") as source:
        rows = [row for row in csv.DictReader(source) if row["file"] in drawn]
    names = ("center_y_px", "center_x_px", "semi_major_px", "semi_minor_px", "angle_deg")
    ellipses = np.array([[float(drawn[row["file"]][name]) for name in names] for row in rows])
    ellipses[:, 4] = np.deg2rad(ellipses[:, 4])
    return Outlines(
        tuple(row["file"] for row in rows),
        np.array([row["exam"] for row in rows]),
        np.array([float(row["pixel_size_mm"]) for row in rows]),
        np.array([float(row["head_circumference_mm"]) for row in rows]),
        ellipses,
    )


def folds(exams: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Rows of each fold; all images of an exam are in the same one."""
    names = np.random.default_rng(seed).permutation(np.unique(exams))
    return [np.flatnonzero(np.isin(exams, names[n::count])) for n in range(count)]


class Sources:
    """Images and ellipses on squares of `SOURCE` pixels."""

    def __init__(self, folder: Path, table: Outlines, data: Path, seed: int) -> None:
        images, ellipses = [], []
        for name, ellipse in zip(table.files, table.ellipses, strict=True):
            volume = read_volume(folder / name, pixel_size_mm=1.0)
            square, to_index = square_of(volume, SOURCE)
            step = to_index[0, 0]
            images.append(square)
            ellipses.append([*((ellipse[:2] - to_index[:, 2]) / step), *ellipse[2:4] / step,
                             ellipse[4]])  # fmt: skip
        self.images = torch.from_numpy(np.stack(images))
        self.ellipses = torch.tensor(np.array(ellipses), dtype=torch.float32)
        others = [*_without_head(self.images, self.ellipses, seed), *other_images(data, seed)]
        self.others = torch.from_numpy(np.stack(others).astype(np.float32))


def _without_head(images: Tensor, ellipses: Tensor, seed: int) -> list[np.ndarray]:
    """Ultrasound images whose head is filled with speckle like that around it."""
    generator = np.random.default_rng(seed)
    out = []
    rows, columns = np.indices((SOURCE, SOURCE))
    for image, ellipse in zip(images.numpy()[::2], ellipses.numpy()[::2], strict=True):
        r = radius(rows, columns, ellipse)
        far = np.clip((1.35 - r) / 0.15, 0, 1)
        near = image[(r > 1.2) & (image > 0.02)]
        level = float(np.median(near)) if near.size else 0.2
        speckle = ndimage.gaussian_filter(
            generator.rayleigh(1.0, r.shape), generator.uniform(0.5, 1.5)
        )
        shade = ndimage.gaussian_filter(
            generator.standard_normal(r.shape), generator.uniform(5, 20)
        )
        shade = 1 + 0.5 * shade / shade.std()
        out.append(image * (1 - far) + far * level * np.clip(speckle * shade, 0, 3) / 1.25)
    return out


def radius(rows: np.ndarray, columns: np.ndarray, ellipse: np.ndarray) -> np.ndarray:
    """Distance from the centre of an ellipse, 1 on its outline."""
    y, x = rows - ellipse[0], columns - ellipse[1]
    cosine, sine = np.cos(ellipse[4]), np.sin(ellipse[4])
    along, across = (x * cosine + y * sine) / ellipse[2], (y * cosine - x * sine) / ellipse[3]
    return np.asarray(np.hypot(along, across))


def other_images(data: Path, seed: int, count: int = 60) -> list[np.ndarray]:
    """Images without a fetal head: drawn shapes, noise, photographs, slices of MR heads."""
    generator = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        out += [drawn_bone(generator), drawn_shapes(generator), noise(generator)]
        out.append(speckled_blob(generator))
    out += photographs()
    for file in sorted((data / "ixi" / "T1").glob("*.nii.gz"))[::6]:
        out += mr_slices(read_volume(file).canonical(), generator)
    return [np.clip(one, 0, 1).astype(np.float32) for one in out]


def _speckle(generator: np.random.Generator, level: float) -> np.ndarray:
    raw = ndimage.gaussian_filter(
        generator.rayleigh(1.0, (SOURCE, SOURCE)), generator.uniform(0.4, 2)
    )
    shade = ndimage.gaussian_filter(generator.standard_normal(raw.shape), generator.uniform(8, 30))
    return np.asarray(level * raw * np.clip(1 + 0.6 * shade / shade.std(), 0, 3))


def drawn_bone(generator: np.random.Generator) -> np.ndarray:
    """A bright bar with a shadow in speckle, like a femur."""
    rows, columns = np.indices((SOURCE, SOURCE)) - generator.uniform(50, 110, 2)[:, None, None]
    angle = generator.uniform(0, np.pi)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = (
        rows * np.cos(angle) - columns * np.sin(angle) + generator.uniform(-4e-3, 4e-3) * along**2
    )
    length, width = generator.uniform(20, 65), generator.uniform(1.5, 7)
    bar = np.clip(length - np.abs(along), 0, 1) * np.exp(-((across / width) ** 2))
    speckle = _speckle(generator, generator.uniform(0, 0.2))
    return np.asarray(speckle + generator.uniform(0.6, 1) * bar)


def drawn_shapes(generator: np.random.Generator) -> np.ndarray:
    """Rectangles, lines and triangles."""
    from skimage.draw import line, polygon

    out = _speckle(generator, generator.uniform(0, 0.1))
    for _ in range(generator.integers(1, 7)):
        corners = generator.integers(0, SOURCE, (generator.integers(2, 5), 2))
        if len(corners) == 2:
            place = line(*corners[0], *corners[1])
        else:
            place = polygon(corners[:, 0], corners[:, 1], out.shape)
        out[place] = generator.uniform(0.1, 1)
    return np.asarray(ndimage.gaussian_filter(out, generator.uniform(0, 1.5)))


def noise(generator: np.random.Generator) -> np.ndarray:
    """Noise of any grain, or a gradient."""
    out = ndimage.gaussian_filter(
        generator.standard_normal((SOURCE, SOURCE)), generator.choice([0, 0.7, 2, 6, 15])
    )
    out = (out - out.min()) / np.ptp(out)
    if generator.random() < 0.3:
        out = 0.2 * out + np.linspace(0, generator.uniform(0.2, 0.8), SOURCE)[:, None]
    return np.asarray(out)


def speckled_blob(generator: np.random.Generator) -> np.ndarray:
    """A region of other speckle without a bright outline, as of soft tissue or fluid."""
    smooth = ndimage.gaussian_filter(
        generator.standard_normal((SOURCE, SOURCE)), generator.uniform(10, 25)
    )
    mask = ndimage.gaussian_filter(
        (smooth > 0.3 * smooth.std()).astype(float), generator.uniform(0.5, 3)
    )
    one, other = (_speckle(generator, level) for level in generator.uniform(0.02, 0.5, 2))
    return np.asarray(one * mask + other * (1 - mask))


def photographs() -> list[np.ndarray]:
    """Photographs that are part of scikit-image."""
    from skimage import data as photos  # these are part of the package
    from skimage.transform import resize

    out = []
    for name in PHOTOGRAPHS:
        image = getattr(photos, name)()
        grey = image[..., :3].mean(-1) if image.ndim == 3 else image
        out.append(resize(grey / max(grey.max(), 1), (SOURCE, SOURCE), anti_aliasing=True))
    return out


def mr_slices(head: Volume, generator: np.random.Generator) -> list[np.ndarray]:
    """Three slices of an MR head in each direction, with a random contrast curve."""
    data = np.asarray(head.data, np.float32)
    data = np.clip(data / np.percentile(data, 99.5), 0, 1)
    out = []
    for axis in range(3):
        for place in generator.uniform(0.3, 0.75, 3):
            plane = np.take(data, int(place * data.shape[axis]), axis)
            side = max(plane.shape)
            plane = np.pad(
                plane, [((side - n) // 2, side - n - (side - n) // 2) for n in plane.shape]
            )
            plane = ndimage.zoom(plane, SOURCE / side, order=1)[:SOURCE, :SOURCE]
            if generator.random() < 0.3:
                plane = np.where(plane > 0.08, 1.05 - plane, plane)
            out.append(np.pad(plane, [(0, SOURCE - n) for n in plane.shape]))
    return out


def draw(
    sources: Sources, heads: int, others: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A random batch.

    Returns
    -------
    images, inside : Tensor
        (heads + others, 1, n, n), 0 to 1.
    """

    def uniform(low: float, high: float, count: int) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    rows = torch.randint(len(sources.images), (heads,), generator=generator)
    ellipse = sources.ellipses[rows]
    framed = torch.rand(heads, generator=generator) < FRAMED
    angle = torch.where(
        framed, ellipse[:, 4] + 0.35 * uniform(-1, 1, heads), uniform(0, 2 * np.pi, heads)
    )
    angle = angle + np.pi * (torch.rand(heads, generator=generator) < 0.5)
    fill = torch.where(framed, uniform(0.58, 0.82, heads), uniform(0.25, 0.95, heads))
    step = 2 * ellipse[:, 2] / (fill * SIZE)
    free = torch.where(framed, torch.full((heads,), 0.08), 0.5 * (1.05 - fill)) * SIZE
    center = ellipse[:, :2] + torch.stack(
        [free * uniform(-1, 1, heads) * step for _ in range(2)], 1
    )

    more = torch.randint(len(sources.others), (others,), generator=generator)
    angle = torch.cat([angle, uniform(0, 2 * np.pi, others)])
    step = torch.cat([step, uniform(0.6, 2.0, others)])
    spot = torch.stack([uniform(0.3 * SOURCE, 0.7 * SOURCE, others) for _ in range(2)], 1)
    center = torch.cat([center, spot])
    pool = torch.cat([sources.images[rows], sources.others[more]])[:, None]

    count = heads + others
    flip = 1 - 2.0 * (torch.rand(count, generator=generator) < 0.5)
    offsets = torch.arange(SIZE) - (SIZE - 1) / 2
    v, u = torch.meshgrid(offsets, offsets, indexing="ij")
    v, u = v[None] * flip[:, None, None] * step[:, None, None], u[None] * step[:, None, None]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x = center[:, 1, None, None] + u * cosine - v * sine
    y = center[:, 0, None, None] + u * sine + v * cosine
    grid = torch.stack([x, y], -1) * 2 / (SOURCE - 1) - 1
    images = functional.grid_sample(pool, grid, align_corners=True)

    c, s = ellipse[:, 4].cos()[:, None, None], ellipse[:, 4].sin()[:, None, None]
    dx, dy = x[:heads] - ellipse[:, 1, None, None], y[:heads] - ellipse[:, 0, None, None]
    along = (dx * c + dy * s) / ellipse[:, 2, None, None]
    across = (dy * c - dx * s) / ellipse[:, 3, None, None]
    pixels = (ellipse[:, 3] / step[:heads])[:, None, None]
    inside = torch.sigmoid((1 - torch.hypot(along, across)) * pixels * 2)
    inside = torch.cat([inside, torch.zeros(others, SIZE, SIZE)])[:, None]
    return changed(images, uniform, count, generator), inside


def changed(images: Tensor, uniform: object, count: int, generator: torch.Generator) -> Tensor:
    """Random blur, gamma, shading, noise and contrast."""
    one = (count, 1, 1, 1)

    def draw_one(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, generator=generator)).view(one)

    smooth = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    images = images + draw_one(-0.5, 1).clamp_min(-0.3) * (smooth - images)
    images = images.clamp(0, 1).pow(torch.exp(draw_one(-0.5, 0.5)))
    field = functional.interpolate(
        torch.rand(count, 1, 3, 3, generator=generator) - 0.5, size=images.shape[2:], mode="bicubic"
    )
    images = images * torch.exp(1.2 * field) * torch.exp(draw_one(-0.5, 0.3))
    grain = torch.randn(images.shape, generator=generator)
    return (images * (1 + draw_one(0, 0.3) * grain) + draw_one(0, 0.05) * grain).clamp(0, 1)
