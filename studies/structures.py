"""Whether matching finds the same structure, and not only the same place.

Three measures whose truth is known: heads painted from region labels and deformed by a known field;
region labels of real people, carried from one head to another by the plans; and real heads that are
registered badly on purpose. In each, matching by position is the baseline.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from expert.comparison import compare_images
from expert.evaluation.matching_quality import Encoded, encode, plans
from expert.imaging.preprocessing import prepare, view_affine
from expert.imaging.registration import Registration
from expert.imaging.volume import read_volume

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.model import PrototypeRegressor
    from expert.schema import InputSettings

FIELD_MM, SCALE_MM = 6.0, 20.0
"""Root mean square of the known field, and the standard deviation of the Gaussian it is made by."""
SHIFT_MM, TURN_DEG = 10.0, 10.0
"""How far a bad registration is off."""
GROUPS = {
    "ventricles": ("Ventricle",),
    "deep grey matter": ("Caudate", "Putamen", "Pallidum", "Thalamus", "Accumbens", "Hippocampus",
                         "Amygdala"),
    "lobes": ("Frontal_WM", "Parietal_WM", "Temporal_WM", "Occipital_WM", "Gyrus", "Cortex",
              "Precuneus", "Cuneus", "Pole", "Planum", "Operculum", "Insula", "Area", "Lobule"),
}  # fmt: skip
"""Group → parts of the names of its DLMUSE regions."""


# --- plans as displacements -----------------------------------------------------------------------
def displacement(flow: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Where the mass of each patch goes, on average, relative to its own place.

    Parameters
    ----------
    flow : (M, M) ndarray
        A plan.
    grid : tuple[int, ...]
        Patches per axis.

    Returns
    -------
    (axes, *grid) ndarray
        In patches.
    """
    places = np.stack(np.unravel_index(np.arange(len(flow)), grid), 1).astype(float)
    target = flow @ places / np.maximum(flow.sum(1, keepdims=True), 1e-300)
    return np.asarray((target - places).T.reshape(-1, *grid))


def pixels(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A field of the patches (axes, *grid), in patches, on all pixels (axes, *shape), in pixels."""
    steps = np.array(shape) / np.array(field.shape[1:])
    places = [(np.arange(n) + 0.5) / step - 0.5 for n, step in zip(shape, steps, strict=True)]
    where = np.stack(np.meshgrid(*places, indexing="ij"))
    return np.stack(
        [
            step * ndimage.map_coordinates(part, where, order=1, mode="nearest")
            for part, step in zip(field, steps, strict=True)
        ]
    )


# --- painted heads --------------------------------------------------------------------------------
def region_names(data: Path) -> dict[int, str]:
    """Number → name of the DLMUSE regions in the label maps."""
    with (data / "dlmuse" / "regions.csv").open(newline="", encoding="utf-8") as stream:
        rows = [(int(row["Index"]), row["Name"]) for row in csv.DictReader(stream)]
    return {number: name for number, name in rows if number < 256}


def paint(labels: np.ndarray, names: dict[int, str], seed: int) -> np.ndarray:
    """A head of tissue values painted from region labels, with noise.

    Parameters
    ----------
    labels : (z, y, x) ndarray
    names : dict
        Number → name of the regions.
    seed : int
        Of the noise.

    Returns
    -------
    (z, y, x) uint8 ndarray
        0 outside.
    """
    values = np.full(256, 100.0)
    for number, name in names.items():
        if "CSF" in name or ("Vent" in name and "DC" not in name):
            values[number] = 1
        elif any(part in name for part in ("WM", "Capsule", "CorpCall", "Fornix", "Stem", "DC")):
            values[number] = 200
    image = ndimage.gaussian_filter(values[labels], 0.6)
    image += 8 * np.random.default_rng(seed).standard_normal(labels.shape)
    return np.where(labels > 0, np.clip(np.rint(image), 1, 240), 0).astype(np.uint8)


def known_field(shape: tuple[int, ...], spacing_mm: float, seed: int) -> np.ndarray:
    """A smooth random field (3, z, y, x) in pixels, of `FIELD_MM`."""
    noise = np.random.default_rng(seed).standard_normal((3, *shape))
    field = np.stack([ndimage.gaussian_filter(part, SCALE_MM / spacing_mm) for part in noise])
    size = np.sqrt((field**2).sum(0).mean())
    return np.asarray(field * (FIELD_MM / spacing_mm / size))


def deformed_phantoms(
    network: PrototypeRegressor, labels: np.ndarray, names: dict[int, str], spacing_mm: float
) -> np.ndarray:
    """How far matched patches are from the true partner, in painted heads.

    Parameters
    ----------
    network : PrototypeRegressor
    labels : (N, z, y, x) ndarray
        Region labels in template space.
    names : dict
        Number → name of the regions.
    spacing_mm : float
        Of a pixel.

    Returns
    -------
    (N, 2) ndarray
        Mean distance in mm over the foreground: by the plan, by position.
    """
    rows = []
    for seed, original in enumerate(labels):
        field = known_field(original.shape, spacing_mm, seed)
        where = np.indices(original.shape) + field
        moved = ndimage.map_coordinates(original, where, order=0)
        one, other = (
            _encoded(network, paint(part, names, number))
            for number, part in enumerate((moved, original), 2 * seed)
        )
        found = displacement(plans(network, one, other, guided=True)[0], network.grid)
        size = np.array(original.shape) / np.array(network.grid)
        boxes = [(g, n // g) for n, g in zip(original.shape, network.grid, strict=True)]
        split = [part for box in boxes for part in box]
        true = field.reshape(3, *split).mean((2, 4, 6)) / size[:, None, None, None]
        inside = one.foreground[0].reshape(network.grid)
        apart = [
            np.linalg.norm((true - guess) * size[:, None, None, None], axis=0)[inside].mean()
            for guess in (found, np.zeros_like(true))
        ]
        rows.append(spacing_mm * np.array(apart))
    return np.array(rows)


def _encoded(network: PrototypeRegressor, image: np.ndarray) -> Encoded:
    return encode(network, image[None], np.where(image > 0, 255, 0).astype(np.uint8)[None])


# --- region labels of real people -----------------------------------------------------------------
def carried_labels(
    network: PrototypeRegressor,
    cohort: CohortArrays,
    labels: np.ndarray,
    names: dict[int, str],
    pairs: list[tuple[int, int]],
) -> dict[str, np.ndarray]:
    """Dice of region labels that are carried from one head to another.

    Parameters
    ----------
    network : PrototypeRegressor
    cohort : CohortArrays
        Heads.
    labels : (N, z, y, x) ndarray
        Their region labels.
    names : dict
        Number → name of the regions.
    pairs : list of (int, int)
        Rows of the image and of the head whose labels it gets.

    Returns
    -------
    dict
        Group → (pairs, 2) mean Dice of its regions: by the plan, by position.
    """
    known = {
        row: encode(network, cohort.images[row], cohort.content[row]) for row in {*sum(pairs, ())}
    }
    numbers = {
        group: [n for n, name in names.items() if any(part in name for part in parts)]
        for group, parts in GROUPS.items()
    }
    out: dict[str, list[list[float]]] = {group: [] for group in numbers}
    for row, other in pairs:
        flow = plans(network, known[row], known[other], guided=True)[0]
        field = pixels(displacement(flow, network.grid), labels.shape[1:])
        where = np.indices(labels.shape[1:]) + field
        moved = ndimage.map_coordinates(labels[other], where, order=0)
        for group, regions in numbers.items():
            out[group].append(
                [_dice(labels[row], found, regions) for found in (moved, labels[other])]
            )
    return {group: np.array(values) for group, values in out.items()}


def _dice(one: np.ndarray, other: np.ndarray, regions: list[int]) -> float:
    """Mean Dice over the regions that either of two label maps contains."""
    a, b = np.bincount(one.ravel(), minlength=256), np.bincount(other.ravel(), minlength=256)
    both = np.bincount(one[one == other].ravel(), minlength=256)
    used = [n for n in regions if a[n] + b[n]]
    return float(np.mean([2 * both[n] / (a[n] + b[n]) for n in used]))


def template_labels(
    files: list[Path], transforms: np.ndarray, data: Path, settings: InputSettings
) -> np.ndarray:
    """(N, z, y, x) uint8 region labels of heads on the grid of a network's input."""
    import nibabel

    affine, out = view_affine(settings, None), []
    for file, transform in zip(files, transforms, strict=True):
        image = nibabel.load(data / "dlmuse" / f"{file.name.split('.')[0]}_DLMUSE.nii.gz")
        index = np.linalg.inv(image.affine) @ transform @ affine
        values = np.asarray(image.dataobj).astype(np.uint8)
        out.append(
            ndimage.affine_transform(values, index[:3, :3], index[:3, 3], settings.shape, order=0)
        )
    return np.stack(out)


# --- bad registration -----------------------------------------------------------------------------
def bad_registration(transform: np.ndarray, seed: int) -> np.ndarray:
    """A registration (4, 4) that is off by `SHIFT_MM` and `TURN_DEG` about the brain's centre."""
    from scipy.spatial.transform import Rotation

    generator = np.random.default_rng(seed)
    axis, shift = (v / np.linalg.norm(v) for v in generator.standard_normal((2, 3)))
    off = np.eye(4)
    off[:3, :3] = Rotation.from_rotvec(np.radians(TURN_DEG) * axis).as_matrix()
    center = np.array([0.0, -17.0, 10.0])
    off[:3, 3] = center - off[:3, :3] @ center + SHIFT_MM * shift
    return np.asarray(transform @ off)


def badly_registered(
    networks: Iterator[tuple[PrototypeRegressor, CohortArrays]], settings: InputSettings
) -> np.ndarray:
    """Errors of held-out heads, registered well and badly.

    Parameters
    ----------
    networks : iterator
        Of each fold, the network and its held-out heads.
    settings : InputSettings
        Of the model.

    Returns
    -------
    (N, 4) ndarray
        Absolute errors in label units: registered well, by the plan and by position; registered
        badly, by the plan and by position.
    """
    rows = []
    for network, held_out in networks:
        by_position = position_copy(network)
        for row, entry in enumerate(held_out.entries):
            volume = read_volume(entry.file)
            wrong = bad_registration(held_out.transforms[row], int(entry.sha256[:8], 16))
            bad = prepare(volume, settings, registration=Registration.known(wrong))
            errors = []
            for images, content in (
                (held_out.images[row], held_out.content[row]),
                (bad.images, bad.content),
            ):
                for one in (network, by_position):
                    predicted = compare_images(one, images, content).prediction
                    errors.append(abs(predicted - held_out.labels[row]))
            rows.append(errors)
    return np.array(rows)


def position_copy(network: PrototypeRegressor) -> PrototypeRegressor:
    """The same network, each patch matched to its own place."""
    from expert.backbone import Members
    from expert.model import PrototypeRegressor

    alone = {"reach": 0.0, "coordinates": False, "relaxation": 0.0, "matching": "position"}
    settings = network.architecture.model_copy(update=alone)
    out = PrototypeRegressor(settings, network.grid)
    if isinstance(network.backbone, Members):
        out.backbone.load_state_dict(network.backbone.members[0].state_dict())
    else:
        out.backbone.load_state_dict(network.backbone.state_dict())
    compared = network.architecture.n_compared_channels
    out.prototypes.data = network.prototypes.data[:, :compared]
    out.prototype_labels.copy_(network.prototype_labels)
    out.prototype_mass.copy_(network.prototype_mass)
    out.scale.data.copy_(network.scale.data)
    return out.eval().requires_grad_(False)
