"""Between a volume's own axes and napari's: what is shown is radiological, and where that is unknown it is said.

napari draws the last two axes downwards and to the right. A volume is therefore handed over with axes (S, P, L): slices from
the feet up, rows from front to back, columns from the patient's right to the left. That is the radiological convention under
napari's own camera, so nobody's camera has to be turned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image

    from expert.explanation import View
    from expert.volume import Volume

AFFINE = "expert_affine"
"""Key in a layer's metadata: (4, 4) index of the layer's array to RAS mm."""


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
    step = np.array([[0, 0, -1, columns - 1], [0, -1, 0, rows - 1], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
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


def volume_from_layer(layer: Image) -> Volume:
    """The volume a layer shows, with the affine our reader left or as much as the layer's scale tells.

    Raises
    ------
    expert.errors.InputError
        The layer is a colour image, or has more than three axes.
    """
    from expert.errors import InputError
    from expert.volume import Volume

    if getattr(layer, "rgb", False):
        raise InputError("The layer is a colour image: convert it to grey values first.")
    data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    if data.ndim not in (2, 3):
        raise InputError(f"The layer has {data.ndim} axes: choose a single volume or image.")
    known = any(str(unit) in ("mm", "millimeter", "um", "µm", "micrometer", "cm", "centimeter") for unit in layer.units)
    known = known or not np.allclose(layer.scale, 1)
    if data.ndim == 2:
        known = bool(layer.metadata.get("expert_spacing_known", known))
        return Volume(data, np.diag([*np.abs(layer.scale), 1.0, 1.0]), "image", known)
    if AFFINE in layer.metadata:
        space = "ras" if layer.metadata.get("expert_orientation_known", True) else "unknown"
        return Volume(data, np.array(layer.metadata[AFFINE], dtype=float), space)
    # As it is drawn: slices upwards, rows towards the back, columns towards the patient's left.
    s, p, left = (float(abs(step)) for step in layer.scale)
    affine = np.array([[0, 0, -left, 0], [0, -p, 0, 0], [s, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    return Volume(data, affine, "unknown", known)


def placement(view: View, head: bool) -> dict[str, Any]:
    """Scale, translate and units of the layer that shows a view through `expert.matches.display`."""
    rows, columns = view.image.shape
    if not head:
        a = view.affine
        return {"scale": (a[0, 0], a[1, 1]), "translate": (a[0, 3], a[1, 3]), "units": ("mm", "mm")}
    step_a, step_r = view.affine[1, 0], view.affine[0, 1]
    front, right = view.affine[1, 3] + step_a * (rows - 1), view.affine[0, 3] + step_r * (columns - 1)
    return {"scale": (step_a, step_r), "translate": (-front, -right), "units": ("mm", "mm")}
