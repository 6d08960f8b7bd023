"""Between a volume's own axes and napari's: what is shown is radiological, and where that is
unknown it is said.

napari draws the last two axes downwards and to the right. A volume is therefore handed over with
axes (S, P, L): slices from the feet up, rows from front to back, columns from the patient's right
to the left. That is the radiological convention under napari's own camera, so nobody's camera has
to be turned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image

    from expert.explanation import View
    from expert.imaging.volume import Volume

OURS = "expert_scene"
"""Marks the layers of a result in their metadata: they are drawn by us, and are no images to
explain."""
AFFINE = "expert_affine"
"""Key in a layer's metadata: (4, 4) index of the layer's array to RAS mm."""
NAPARI_NIFTI = {"affine", "spacing", "origin", "direction", "header", "coordinate_system"}
"""What napari-nifti leaves in a layer's metadata."""
DRAWN = ("down", "right")
"""Where napari's own camera draws the last two axes to."""


def layer_arguments(volume: Volume) -> tuple[np.ndarray, dict[str, Any]]:
    """A volume's data and the arguments of the image layer that shows it.

    Returns
    -------
    data, arguments : (S, P, L) or (row, column) and scale, translate, units (mm) and metadata
    """
    if volume.ndim == 2:
        data = np.asarray(volume.data)
        known = volume.spacing_known
        return data, {
            "scale": volume.spacing,
            "units": ("mm", "mm") if known else ("pixel", "pixel"),
            "metadata": {"expert_spacing_known": known},
        }
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
        "units": ("mm", "mm", "mm"),
        "axis_labels": ("S", "P", "L"),
        "metadata": {AFFINE: affine.tolist(), "expert_orientation_known": volume.space == "ras"},
    }


def volume_from_layer(layer: Image, *, pixels: bool = True) -> Volume:
    """The volume a layer shows, with as much of its place in space as its reader left.

    In this order: the affine that our own reader keeps; that of napari-nifti (of its array
    transposed); else the voxel size that the layer's transform and units tell, and an orientation
    that is unknown. An affine that does not fit the array (no finite, invertible 4×4 matrix, or
    another voxel size than the layer's scale) is not used.

    Parameters
    ----------
    layer : of the viewer
    pixels : False leaves them all 0, where only the place matters: those of a lazy array would have
        to be read

    Returns
    -------
    Volume  (`space` "unknown" where nothing says which side is left: the array is then taken for
    what it is drawn as, slices upwards, rows towards the back, columns towards the patient's left)

    Raises
    ------
    expert.errors.InputError
        The layer is a colour image, or has more than three axes.
    """
    from expert.errors import InputError
    from expert.imaging.volume import Volume

    if getattr(layer, "rgb", False):
        raise InputError("The layer is a colour image: convert it to grey values first.")
    held = layer.data[0] if layer.multiscale else layer.data
    data = np.asarray(held) if pixels else np.broadcast_to(np.zeros((), np.uint8), held.shape)
    if data.ndim not in (2, 3):
        raise InputError(f"The layer has {data.ndim} axes: choose a single volume or image.")
    steps, known = _spacing(layer)
    if data.ndim == 2:
        known = bool(layer.metadata.get("expert_spacing_known", known))
        return Volume(data, np.diag([*steps, 1.0, 1.0]), "image", known)
    for affine, sure in (_own_affine(layer), _nifti_affine(layer)):
        if affine is not None and _fits(affine, layer):
            return Volume(data, affine, "ras" if sure else "unknown")
    s, p, left = steps
    affine = np.array([[0, 0, -left, 0], [0, -p, 0, 0], [s, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    return Volume(data, affine, "unknown", known)


def _own_affine(layer: Image) -> tuple[np.ndarray | None, bool]:
    """What `layer_arguments` left."""
    return _matrix(layer.metadata.get(AFFINE)), bool(
        layer.metadata.get("expert_orientation_known", True)
    )


def _nifti_affine(layer: Image) -> tuple[np.ndarray | None, bool]:
    """What napari-nifti left (0.0.19 and 0.0.20): the affine of an array that it then transposed to
    show it.

    It calls that array's axes S, A, R. In some files they run I or P instead; the affine says so,
    and is right for all of them.
    """
    if not layer.metadata.keys() >= NAPARI_NIFTI:
        return None, False
    affine = _matrix(layer.metadata["affine"])
    return None if affine is None else affine[:, [2, 1, 0, 3]], True


def _matrix(value: Any) -> np.ndarray | None:
    """A (4, 4) affine, or None where it is none that could be used."""
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
    """Whether the affine has the layer's voxel size: one of a layer derived from the first (shrunk,
    say) keeps the old one."""
    scale = np.abs(layer.scale)
    return bool(
        np.allclose(scale, 1)
        or np.allclose(np.linalg.norm(affine[:3, :3], axis=0), scale, rtol=1e-3)
    )


def _spacing(layer: Image) -> tuple[tuple[float, ...], bool]:
    """mm per axis of the array, and whether anything says so: units of length, or a transform other
    than the default."""
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
    """mm in one of a unit (pint's); None where it is none of length."""
    return float((1 * unit).to("mm").magnitude) if unit.is_compatible_with("mm") else None


def slice_letters(
    layer: Image, volume: Volume, displayed: tuple[int, int], camera: tuple[str, str] = DRAWN
) -> dict[str, str]:
    """Letters for the edges of a slice of a layer as napari draws it.

    Parameters
    ----------
    layer, volume : the layer and its `volume_from_layer`
    displayed : the layer's axes that are drawn, vertical and horizontal (the last two of
        `viewer.dims.order`)
    camera : where they run to (`viewer.scene.camera.orientation2d`)

    Returns
    -------
    side ("left", "right", "top", "bottom") to letter (R, L, A, P, S, I); empty where the
    orientation is not known
    """
    if volume.space != "ras":
        return {}
    corners = [
        np.asarray(layer.data_to_world(corner)) for corner in np.vstack([np.zeros(3), np.eye(3)])
    ]
    to_world = np.column_stack([corner - corners[0] for corner in corners[1:]])
    # Columns: where in the patient each of napari's world axes leads.
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


def placement(view: View, head: bool) -> dict[str, Any]:
    """Scale, translate and units of the layer that shows a view (a slice of it, in 3D) through
    `expert.patches.display`.

    Parameters
    ----------
    view : of an explanation
    head : whether it lies in template space
    """
    rows, columns = view.image.shape[-2:]
    a, row, column = view.affine, view.image.ndim - 2, view.image.ndim - 1
    if not head:
        return {"scale": (a[0, 0], a[1, 1]), "translate": (a[0, 3], a[1, 3]), "units": ("mm", "mm")}
    step_a, step_r = a[1, row], a[0, column]
    front, right = a[1, 3] + step_a * (rows - 1), a[0, 3] + step_r * (columns - 1)
    return {"scale": (step_a, step_r), "translate": (-front, -right), "units": ("mm", "mm")}
