"""Volumes and layers in every orientation, and where their patches truly lie."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
from napari.layers import Image

from expert.explanation import RegistrationSummary
from expert.imaging.volume import Volume
from napari_expert.readers import read

ORDERS = list(itertools.permutations(range(3)))


FLIPS = list(itertools.product((1, -1), repeat=3))


SPACING = np.array([1.9, 2.6, 3.4])
"""mm along the array's axes; anisotropic, so that an exchanged axis is seen."""


def turn(x: float, y: float, z: float) -> np.ndarray:
    """(3, 3) rotation by three angles."""
    cos, sin = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def registration() -> np.ndarray:
    """A template-to-subject transform with all twelve parameters: turned, scaled unequally,
    sheared, moved."""
    matrix = np.eye(4)
    matrix[:3, :3] = (
        turn(0.2, -0.07, 0.12)
        @ np.diag([0.9, 0.95, 0.86])
        @ [[1, 0.05, 0.02], [0, 1, -0.04], [0, 0, 1]]
    )
    matrix[:3, 3] = (4.0, -9.0, 13.0)
    return matrix


def registered(explanation, matrix):
    """The explanation of a head that lies elsewhere, all of whose patches have something in
    them."""
    count = len(explanation.views[0].mass)
    views = tuple(
        view.model_copy(
            update={"mass": np.full(count, 1 / count), "image": np.maximum(view.image, 40)}
        )
        for view in explanation.views
    )
    summary = RegistrationSummary(template_to_subject=matrix, quality=1.0, acceptable=True)
    return explanation.model_copy(update={"views": views, "registration": summary})


def numbered_volume(axes, flips, oblique: bool) -> Volume:
    """A volume around the views, in any axis order, whose every voxel has a value of its own."""
    columns = np.zeros((3, 3))
    for axis, (row, sign) in enumerate(zip(axes, flips, strict=True)):
        columns[row, axis] = sign * SPACING[axis]
    if oblique:
        columns = turn(-0.25, 0.1, 0.3) @ columns
    extent = np.array([190.0, 210.0, 130.0])
    shape = np.ceil(extent[list(axes)] / SPACING).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = columns
    middle = registration() @ [0.0, -18.0, 7.0, 1.0]
    affine[:3, 3] = middle[:3] - columns @ ((shape - 1) / 2)
    return Volume(np.arange(shape.prod(), dtype=np.int32).reshape(shape), affine)


def by_our_reader(volume: Volume, folder) -> Image:
    path = folder / "head.nii.gz"
    nib.save(nib.Nifti1Image(volume.data, volume.affine), path)
    data, arguments, _ = read(str(path))[0]
    return Image(data, **arguments)


def as_napari_nifti(volume: Volume, folder) -> Image:
    """What the reader of napari-nifti 0.0.20 makes of a file (`test_napari_nifti_itself` holds it
    against the reader)."""
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    data = np.asarray(image.dataobj).transpose(2, 1, 0)
    step = np.linalg.norm(image.affine[:3, :3], axis=0)[::-1]
    origin = image.affine[:3, 3][::-1]
    metadata = {
        "affine": image.affine,
        "spacing": step[::-1],
        "origin": origin[::-1],
        "direction": image.affine[:3, :3] / step[::-1],
        "header": image.header,
        "coordinate_system": "RAS+",
    }
    return Image(
        data, scale=-step, translate=origin + (np.array(data.shape) - 1) * step, metadata=metadata
    )


def bare(volume: Volume, folder) -> Image:
    return Image(volume.data, scale=SPACING)


def truth(explanation, points: np.ndarray) -> np.ndarray:
    """Number of the patch at each template point (3, N), by `Explanation.patch_box` and the planes'
    heights alone."""
    view, heights = explanation.views[0], np.array([view.position_mm for view in explanation.views])
    step = view.affine[1, 0]
    pixel = (points[[1, 0]] - view.affine[[1, 0], 3][:, None]) / step + 0.5
    half = (heights[1] - heights[0]) / 2
    inside = (points[2] >= heights[0] - half) & (points[2] < heights[-1] + half)
    out = np.zeros(points.shape[1], dtype=int)
    for patch in range(len(view.mass)):
        (top, bottom), (left, right) = explanation.patch_box(patch)
        out[
            inside
            & (pixel[0] >= top)
            & (pixel[0] < bottom)
            & (pixel[1] >= left)
            & (pixel[1] < right)
        ] = patch + 1
    return out


def center_of(explanation, volume: Volume, view: int) -> np.ndarray:
    """The centre of a plane of a head in voxel indices of the volume."""
    plane = explanation.views[view]
    row, column = (np.array(plane.image.shape) - 1) / 2
    point = explanation.registration.template_to_subject @ plane.affine @ [row, column, 0.0, 1.0]
    return apply(np.linalg.inv(volume.affine), point[:3, None])[:, 0]


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return matrix[:3, :3] @ points + matrix[:3, 3:]


def voxels_holding(volume: Volume, layer: Image, world: np.ndarray) -> tuple[np.ndarray, ...]:
    """Indices *in the layer's array* of the voxels that hold points of the file's world, found by
    the voxels' own values."""
    index = np.rint(apply(np.linalg.inv(volume.affine), world)).astype(int)
    values = volume.data[tuple(index)]
    place = np.empty(volume.data.size, dtype=int)
    place[np.asarray(layer.data).ravel()] = np.arange(volume.data.size)
    return np.unravel_index(place[values], layer.data.shape)
