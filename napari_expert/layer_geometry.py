"""Conversion between a volume's axes and napari's layers, in the radiological convention.

napari draws the last two axes downwards and to the right. A volume is therefore handed over with
axes (S, P, L): slices from the feet up, rows from front to back, columns from the patient's right
to the left. This is the radiological convention with napari's default camera.
"""

from __future__ import annotations

from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from expert.explanation import Explanation
    from expert.imaging.volume import Volume

OURS = "expert_scene"
"""Marks the layers of a result in their metadata: they are not images to explain."""
MODEL = "expert_model"
"""Key in a layer's metadata: the model for a sample that the default model is not for."""
ASSUMED, DOUBTS = "expert_assumed", "expert_doubts"
"""Keys in a layer's metadata: `Volume.assumed` and `Volume.doubts` of the file."""
SAMPLE = "expert_sample"
"""Key in a layer's metadata: some voxels of the array that the affine belongs to."""
SAMPLED = 16
"""Voxels per axis of the sample."""
BETTER = 0.01
"""How much better the sample must fit in another orientation to say that the array was turned."""
AFFINE = "expert_affine"
"""Key in a layer's metadata: (4, 4) index of the layer's array to RAS mm."""
NAPARI_NIFTI = {"affine", "spacing", "origin", "direction", "header", "coordinate_system"}
"""What napari-nifti stores in a layer's metadata."""
DRAWN = ("down", "right")
"""Directions of the last two axes with napari's default camera."""


def layer_arguments(volume: Volume) -> tuple[np.ndarray, dict[str, Any]]:
    """Data and arguments of the image layer that shows a volume.

    Parameters
    ----------
    volume : Volume
        A head, or a plain image.

    Returns
    -------
    data : numpy.ndarray
        Axes (S, P, L) or (row, column).
    arguments : dict
        Scale, translate, units (mm) and metadata.
    """
    known = volume.spacing_known
    units = ("mm" if known else "pixel",) * volume.ndim
    metadata: dict[str, Any] = {"expert_spacing_known": known}
    metadata |= {ASSUMED: list(volume.assumed)} if volume.assumed else {}
    metadata |= {DOUBTS: list(volume.doubts)} if volume.doubts else {}
    if volume.ndim == 2:
        data = np.asarray(volume.data)
        return data, {"scale": volume.spacing, "units": units, "metadata": metadata}
    canonical = volume.canonical()
    data = canonical.data.transpose(2, 1, 0)[:, ::-1, ::-1]
    # Index of the flipped, transposed array to the canonical one's, then to RAS mm.
    _, rows, columns = data.shape
    step = np.array(
        [[0, 0, -1, columns - 1], [0, -1, 0, rows - 1], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float
    )
    affine = canonical.affine @ step
    spacing = tuple(np.linalg.norm(affine[:3, axis]) for axis in range(3))
    origin = affine[:3, 3]
    return data, {
        "scale": spacing,
        "translate": (origin[2], -origin[1], -origin[0]),
        "units": units,
        "axis_labels": ("S", "P", "L"),
        "metadata": metadata
        | {
            AFFINE: affine.tolist(),
            SAMPLE: _sample(data),
            "expert_orientation_known": volume.space == "ras",
        },
    }


def volume_from_layer(layer: Image, *, pixels: bool = True) -> Volume:
    """The volume that a layer shows, with the orientation that its reader stored.

    In this order: the affine of our own reader; that of napari-nifti (of its transposed array);
    else the voxel size from the layer's transform and units, and an unknown orientation. An affine
    that does not fit the array (no finite, invertible 4×4 matrix, another voxel size than the
    layer's scale, or an array that was turned since it was read) is not used.

    Parameters
    ----------
    layer : napari.layers.Image
        Of the viewer.
    pixels : bool
        False leaves them all 0, where only the geometry matters: those of a lazy array would have
        to be read.

    Returns
    -------
    Volume
        Its `space` is "unknown" where the orientation is: the array is then taken as it is drawn,
        slices upwards, rows towards the back, columns towards the patient's left.

    Raises
    ------
    expert.errors.InputError
        The layer is a colour volume, has more than three axes, or cannot be read any more.
    """
    from expert.errors import InputError
    from expert.imaging.volume import Volume

    held = layer.data[0] if layer.multiscale else layer.data
    colours = bool(getattr(layer, "rgb", False))
    if colours and layer.ndim != 2:
        raise InputError("The layer is a colour volume: convert it to grey values first.")
    if pixels:
        data = _pixels(held)
        data = _grey(data) if colours else data
    else:
        data = np.broadcast_to(np.zeros((), np.uint8), held.shape[:2] if colours else held.shape)
    assumed = tuple(map(str, layer.metadata.get(ASSUMED, ())))
    doubts = tuple(map(str, layer.metadata.get(DOUBTS, ())))
    if data.ndim not in (2, 3):
        raise InputError(f"The layer has {data.ndim} axes: choose a single volume or image.")
    steps, known = _spacing(layer)
    if data.ndim == 2:
        # The file's, or one that was set later.
        known = known or bool(layer.metadata.get("expert_spacing_known"))
        sized = np.diag([*steps, 1.0, 1.0])
        return Volume(data, sized, "image", known, assumed=assumed, doubts=doubts)
    own, sure = _own_affine(layer)
    if own is not None and (not _fits(own, layer) or _was_turned(held, layer.metadata.get(SAMPLE))):
        own = None
    nifti, nifti_sure = _nifti_affine(layer)
    if nifti is not None and not (np.allclose(np.abs(layer.scale), 1) or _fits(nifti, layer)):
        nifti = None
    for affine, known_sides in ((own, sure), (nifti, nifti_sure)):
        if affine is not None:
            stated = bool(layer.metadata.get("expert_spacing_known", True))
            space: Literal["ras", "unknown"] = "ras" if known_sides else "unknown"
            return Volume(data, affine, space, stated, assumed=assumed, doubts=doubts)
    s, p, left = steps
    affine = np.array([[0, 0, -left, 0], [0, -p, 0, 0], [s, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    return Volume(data, affine, "unknown", known)


def _pixels(held: Any) -> np.ndarray:
    """The array of a layer, which may be read from a file only now."""
    from expert.errors import InputError

    try:
        data = np.asarray(held)
    except Exception as error:  # lazy arrays raise what their library raises
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise InputError(
            f"The pixels of the layer could not be read{reason}: its file was changed, or its "
            "folder is not connected any more. Open the image again."
        ) from error
    # As in images that are read from a file.
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        if not np.isfinite(data).any():
            raise InputError("The layer contains no finite value: open another image.")
        data = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
    return data


def _grey(data: np.ndarray) -> np.ndarray:
    """Grey values of colours (row, column, channel), as of a plain image that is read."""
    from PIL import Image

    colours = np.ascontiguousarray(data[..., :3])
    if colours.dtype != np.uint8:
        return np.asarray(colours @ np.array([0.299, 0.587, 0.114]))
    return np.asarray(Image.fromarray(colours).convert("L"))


def _own_affine(layer: Image) -> tuple[np.ndarray | None, bool]:
    """What `layer_arguments` stored."""
    return _matrix(layer.metadata.get(AFFINE)), bool(
        layer.metadata.get("expert_orientation_known", True)
    )


def _nifti_affine(layer: Image) -> tuple[np.ndarray | None, bool]:
    """The affine that napari-nifti (0.0.19 and 0.0.20) stored.

    It belongs to an array that was transposed for display. napari-nifti names the array's axes S,
    A, R. In some files they run I or P instead; the affine is right for all of them.
    """
    if not layer.metadata.keys() >= NAPARI_NIFTI:
        return None, False
    affine = _matrix(layer.metadata["affine"])
    return None if affine is None else affine[:, [2, 1, 0, 3]], True


def _matrix(value: Any) -> np.ndarray | None:
    """A (4, 4) affine, or None where it cannot be used."""
    try:
        affine = np.array(value, dtype=float)
    except (TypeError, ValueError):
        return None
    if (
        affine.shape != (4, 4)
        or not np.isfinite(affine).all()
        or not np.allclose(affine[3], (0, 0, 0, 1))
    ):
        return None
    return affine if abs(np.linalg.det(affine[:3, :3])) > 1e-9 else None


def _fits(affine: np.ndarray, layer: Image) -> bool:
    """Whether the affine has the layer's voxel size.

    A copy of a layer (resampled, for example) may keep the old affine.
    """
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(steps, np.abs(layer.scale), rtol=1e-3))


def _sample(data: np.ndarray) -> np.ndarray:
    """Some voxels of a volume, on a grid with the same number along each axis."""
    grid = (np.linspace(0, n - 1, SAMPLED).round().astype(int) for n in data.shape)
    return np.asarray(data[np.ix_(*grid)], dtype=np.float32)


def _was_turned(data: Any, sample: Any) -> bool:
    """Whether an array was flipped or transposed after it was read.

    The sample then fits better in another orientation. Other changes, such as less noise, leave it
    as it is. Arrays that are read as they are needed are not tested.
    """
    if not isinstance(sample, np.ndarray) or not isinstance(data, np.ndarray):
        return False
    now, sample = np.nan_to_num(_sample(data)).astype(float), np.nan_to_num(sample).astype(float)
    now -= now.mean()
    fits = {
        (order, flips): float((np.flip(sample.transpose(order), flips) * now).sum())
        for order in permutations(range(3))
        for count in range(4)
        for flips in combinations(range(3), count)
    }
    return max(fits.values()) > (1 + BETTER) * fits[(0, 1, 2), ()]


def _spacing(layer: Image) -> tuple[tuple[float, ...], bool]:
    """Spacing in mm per axis, and whether units of length or a transform specify it."""
    ndim = layer.ndim
    corners = [
        np.asarray(layer.data_to_world(corner))
        for corner in np.vstack([np.zeros(ndim), np.eye(ndim)])
    ]
    steps = np.array([np.linalg.norm(corner - corners[0]) for corner in corners[1:]])
    factors = [_millimetres(unit) for unit in layer.units]
    if None not in factors:
        return tuple(float(step * factors[axis]) for axis, step in enumerate(steps)), True
    return tuple(float(step) for step in steps), not np.allclose(steps, 1)


def _millimetres(unit: Any) -> float | None:
    """Millimetres in a unit of pint; None where it is not a length."""
    return float((1 * unit).to("mm").magnitude) if unit.is_compatible_with("mm") else None


def same_geometry(layer: Image, volume: Volume) -> bool:
    """Whether a layer has the voxel size and orientation of a volume, which was made from it."""
    from expert.errors import ExpertError

    try:
        now = volume_from_layer(layer, pixels=False)
    except ExpertError:
        return False
    known = (volume.shape, volume.space, volume.spacing_known)
    return (now.shape, now.space, now.spacing_known) == known and np.allclose(
        now.affine, volume.affine
    )


def find_source(
    explanation: Explanation, layers: list[Layer], explained: Volume | None = None
) -> Image | None:
    """Find the open layer with the explained image, by the checksum of its voxels.

    Parameters
    ----------
    explanation : Explanation
        Of the image.
    layers : list of napari.layers.Layer
        Where to look.
    explained : Volume, optional
        The image as it was explained, if its voxel size and orientation are known.

    Returns
    -------
    napari.layers.Image or None
        None where it is not open, or has another voxel size or orientation by now.
    """
    from napari.layers import Image

    from expert.errors import ExpertError

    for layer in layers:
        if isinstance(layer, Image) and OURS not in layer.metadata and explanation.input_sha256:
            try:
                volume = volume_from_layer(layer)
            except ExpertError:
                continue
            same = explained is None or same_geometry(layer, explained)
            if same and volume.fingerprint() == explanation.input_sha256:
                return layer
    return None


def slice_letters(
    layer: Image, volume: Volume, displayed: tuple[int, int], camera: tuple[str, str] = DRAWN
) -> dict[str, str]:
    """Letters for the edges of a slice of a layer as napari draws it.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    volume : Volume
        Its `volume_from_layer`.
    displayed : tuple of int
        The layer's axes that are drawn, vertical and horizontal (the last two of
        `viewer.dims.order`).
    camera : tuple of str
        Their directions (`viewer.scene.camera.orientation2d`).

    Returns
    -------
    dict
        Side ("left", "right", "top", "bottom") to letter (R, L, A, P, S, I); empty where the
        orientation is unknown.
    """
    if volume.space != "ras":
        return {}
    corners = [
        np.asarray(layer.data_to_world(corner)) for corner in np.vstack([np.zeros(3), np.eye(3)])
    ]
    to_world = np.column_stack([corner - corners[0] for corner in corners[1:]])
    # Columns: the direction in the patient of each of napari's world axes.
    patient = volume.affine[:3, :3] @ np.linalg.inv(to_world)
    out = {}
    for axis, runs, sides in zip(
        displayed, camera, (("top", "bottom"), ("left", "right")), strict=True
    ):
        direction = patient[:, axis] * (1 if runs in ("down", "right") else -1)
        row = int(np.abs(direction).argmax())
        near, far = ("LPI"[row], "RAS"[row]) if direction[row] > 0 else ("RAS"[row], "LPI"[row])
        out[sides[0]], out[sides[1]] = near, far
    return out
