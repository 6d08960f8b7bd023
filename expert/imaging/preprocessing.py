"""From a `Volume` to what the network sees: `prepare` follows the model's `InputSettings`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from expert.errors import InputError
from expert.imaging.bias_field import fit_bias_field
from expert.imaging.brain import brain_mask, intensity_range, missing_brain
from expert.imaging.registration import Registration, register
from expert.imaging.resampling import resample_to_template
from expert.imaging.volume import Volume
from expert.schema import InputSettings

Progress = Callable[[str, float], None]
WHITE = 0.7
"""What white matter becomes: room above it for vessels and fat, which are brighter."""
MISSING = 0.05
"""Share of the brain that a whole head may lack."""


@dataclass(frozen=True)
class Prepared:
    """One subject as the network sees it, view by view."""

    images: np.ndarray
    """(V, *shape) uint8; the network's input is this divided by 255."""
    content: np.ndarray
    """(V, *shape) uint8, 255 where a pixel is wholly brain (heads) or part of the picture (plain
    images)."""
    affines: np.ndarray
    """(V, 4, 4) indices of a view, padded with 0, to template RAS mm (heads) or image mm."""
    positions_mm: tuple[float | None, ...]
    """Height of each view above the anterior commissure; None for a volume or a plain image."""
    registration: Registration | None
    missing: float = 0.0
    """Share of the brain that the volume does not show, see `expert.imaging.brain.missing_brain`; 0
    for plain images."""

    @property
    def incomplete(self) -> str:
        """One sentence where the volume does not show the whole brain; empty where it does."""
        if self.missing <= MISSING:
            return ""
        return (
            f"About {self.missing:.0%} of the brain is black or outside the image: the "
            "prediction uses only the visible part. "
            "Open a scan of the whole head."
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What to call each view."""
        return tuple("image" if p is None else f"z = {p:+.0f} mm" for p in self.positions_mm)


def prepare(
    volume: Volume,
    recipe: InputSettings,
    *,
    positions_mm: tuple[float, ...] | None = None,
    registration: Registration | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Bring a volume into the form a model was trained on.

    Parameters
    ----------
    volume : Volume
        A 3D head for recipes in "mni" space, a 2D image for recipes in "image" space.
    recipe : InputSettings
        The model's `InputSettings`.
    positions_mm : tuple[float, ...], optional
        Planes to take instead of the recipe's, template mm.
    registration : Registration, optional
        A known registration of this volume; found here if None.
    progress : Progress, optional
        Called with the stage's name ("register") and a fraction; may raise
        `expert.errors.Cancelled`.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        The volume does not fit the recipe.
    """
    problem = incompatibility(volume, recipe)
    if problem:
        raise InputError(problem)
    if recipe.space == "image":
        return _prepare_image(volume, recipe)
    if registration is None:
        registration = register(
            volume, progress=None if progress is None else lambda f: progress("register", f)
        )
    low, high = intensity_range(volume, registration)
    white = fit_bias_field(volume, registration) if recipe.intensity == "white matter" else None
    brain = Volume(
        data=brain_mask(volume, registration).astype(np.float32),
        affine=volume.affine,
        space=volume.space,
        spacing_known=volume.spacing_known,
        history=(),
    )
    positions: tuple[float | None, ...] = (None,)
    if len(recipe.shape) == 2:
        positions = recipe.positions_mm if positions_mm is None else positions_mm
    images, contents, affines = [], [], []
    for position in positions:
        view = view_affine(recipe, position)
        # The resampler wants three axes: a plane is a volume of one slice, whose first axis is the
        # height.
        affine, shape = view, recipe.shape
        if position is not None:
            affine, shape = view[:, [2, 0, 1, 3]], (1, *recipe.shape)
        content = np.clip(resample_to_template(brain, registration, affine, shape), 0, 1)
        image = resample_to_template(volume, registration, affine, shape)
        if white is None:
            image = np.clip((image - low) / (high - low), 0, 1) * content
        else:  # a voxel that is half brain would have another tissue's grey
            image = np.clip(WHITE * white.apply(image, affine), 1 / 255, 1) * (content >= 0.5)
        images.append(np.rint(255 * image).astype(np.uint8).reshape(recipe.shape))
        contents.append(np.rint(255 * content).astype(np.uint8).reshape(recipe.shape))
        affines.append(view)
    if not any(content.any() for content in contents):
        raise InputError(
            "No brain was found in this volume: check that it is a whole-head T1 image."
        )
    missing = missing_brain(volume, registration)
    return Prepared(
        np.stack(images), np.stack(contents), np.stack(affines), positions, registration, missing
    )


def incompatibility(volume: Volume, recipe: InputSettings) -> str:
    """One sentence that says why this volume cannot be given to a model with this recipe; empty if
    it can."""
    if recipe.space == "mni" and volume.ndim != 3:
        return (
            f"This model needs a 3D head volume, not a {volume.ndim}D image: open a whole-head "
            "T1 scan."
        )
    if recipe.space == "image" and volume.ndim != 2:
        return (
            f"This model needs a plain 2D image, not a {volume.ndim}D volume: choose a single "
            "image."
        )
    if recipe.sized and not volume.spacing_known:
        return (
            "This model measures sizes, and the pixel size of this image is unknown: give "
            "it with --pixel-size-mm, or as the "
            "layer's scale in mm."
        )
    if recipe.space == "mni" and not volume.spacing_known:
        return (
            "The voxel size of this volume is unknown: load it from NIfTI, NRRD or DICOM, or "
            "set the layer's scale in mm."
        )
    return ""


def view_affine(recipe: InputSettings, position_mm: float | None) -> np.ndarray:
    """(4, 4) indices of a view (A, R; or S, A, R), padded with 0, to template RAS mm; the third
    index of a plane is mm S."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    # Array axes run S, A, R; world rows are R, A, S: the last axes of the two are each other's
    # mirror.
    rows = (1, 0) if position_mm is not None else (2, 1, 0)
    for axis, (row, size, center) in enumerate(
        zip(rows, recipe.shape, recipe.center_mm, strict=True)
    ):
        affine[row, axis] = recipe.spacing_mm
        affine[row, 3] = center - recipe.spacing_mm * (size - 1) / 2
    if position_mm is not None:
        affine[2, 2] = 1.0
        affine[2, 3] = position_mm
    return affine


def _full_range(data: np.ndarray) -> tuple[float, float]:
    """Grey values that become 0 and 1 where a file's whole range does; floats are taken to be 0 to
    1 already."""
    if data.dtype.kind not in "iu":
        return 0.0, 1.0
    return 0.0, 255.0 if data.dtype.itemsize == 1 else 65535.0


def _prepare_image(volume: Volume, recipe: InputSettings) -> Prepared:
    from scipy import ndimage

    data = np.asarray(volume.data, dtype=np.float32)
    size = np.array(data.shape, dtype=float)
    if volume.spacing_known:
        step = recipe.spacing_mm / np.asarray(volume.spacing[:2])
    else:  # without a pixel size the image is fitted into the frame
        step = np.full(2, float((size / np.array(recipe.shape)).max()))
    offset = (size - 1) / 2 - step * (np.array(recipe.shape) - 1) / 2
    blurred = ndimage.gaussian_filter(
        data, np.maximum(step - 1, 0) / 2
    )  # against aliasing when shrinking
    image = ndimage.affine_transform(blurred, step, offset, recipe.shape, order=1)
    inside = ndimage.affine_transform(np.ones_like(data), step, offset, recipe.shape, order=1)
    low, high = float(data.min()), float(np.percentile(data, 99.5))
    if recipe.intensity == "full":
        low, high = _full_range(volume.data)
    if not high > low:
        raise InputError("This image has one single grey value: choose an image with content.")
    scaled = np.clip((image - low) / (high - low), 0, 1) * inside
    affine = np.eye(4)
    pixel = np.asarray(volume.spacing[:2])
    for axis in range(2):
        affine[axis, axis] = step[axis] * pixel[axis]
        affine[axis, 3] = offset[axis] * pixel[axis]
    return Prepared(
        np.rint(255 * scaled).astype(np.uint8)[None],
        np.rint(255 * inside).astype(np.uint8)[None],
        affine[None],
        (None,),
        None,
    )
