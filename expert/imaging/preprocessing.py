"""From a `Volume` to the input of the network, by the model's `InputSettings` (`prepare`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from expert.errors import InputError
from expert.features.head_frame import with_rim, without_rim
from expert.imaging.bias_field import fit_bias_field
from expert.imaging.brain import brain_mask, intensity_range, missing_brain
from expert.imaging.head_outline import HeadOutline, find_outline, head_frame
from expert.imaging.registration import Registration, register
from expert.imaging.resampling import resample_to_template
from expert.imaging.tissue_values import TissueHead
from expert.imaging.volume import Volume
from expert.schema import InputSettings

Progress = Callable[[str, float], None]
WHITE = 0.7
"""Grey value of white matter; vessels and fat are brighter."""
MISSING = 0.05
"""Fraction of the brain that may be missing without a warning."""
EXPOSED = 0.25
"""Fraction of an extracted brain's surface that may be grey or white matter without a warning."""


@dataclass(frozen=True)
class Prepared:
    """One subject as the network gets it, view by view."""

    images: np.ndarray
    """(V, *shape) uint8; the network's input is this divided by 255."""
    content: np.ndarray
    """(V, *shape) uint8, 255 where a pixel is entirely brain (heads) or inside the image (plain
    images)."""
    affines: np.ndarray
    """(V, 4, 4) indices of a view, padded with 0, to template RAS mm (heads) or image mm."""
    positions_mm: tuple[float | None, ...]
    """Height of each view above the anterior commissure; None for a volume or a plain image."""
    registration: Registration | None
    missing: float = 0.0
    """Fraction of the brain that the volume does not contain, see
    `expert.imaging.brain.missing_brain`; 0 for plain images."""
    exposed: float = 0.0
    """Fraction of an extracted brain's surface that is grey or white matter, see
    `expert.imaging.brain.exposed_tissue`; 0 for all other images."""
    wrong_contrast: str = ""
    """One sentence if the contrast is not that of a T1-weighted image; else empty."""
    outline: HeadOutline | None = None
    """The ellipse of a fetal head, for models in "ellipse" space."""

    @property
    def incomplete(self) -> str:
        """One sentence if the volume does not contain the whole brain; else empty."""
        if self.missing <= MISSING:
            return ""
        return (
            f"About {self.missing:.0%} of the brain is black or outside the image: the "
            "prediction uses only the visible part. "
            "Open a scan of the whole head."
        )

    @property
    def extracted_tightly(self) -> str:
        """Two sentences if a part of the brain was removed with the skull; else empty."""
        if self.exposed <= EXPOSED:
            return ""
        return (
            f"The brain was extracted too tightly: {self.exposed:.0%} of its surface is grey or "
            "white matter, and the prediction is less reliable. Open the whole head, or a brain "
            "with the fluid around it."
        )

    @property
    def refusal(self) -> str:
        """One sentence if this image must not be predicted; else empty."""
        if self.outline is not None:
            return self.outline.refusal
        if self.registration is None:
            return ""
        return self.registration.message or self.wrong_contrast

    @property
    def shown(self) -> np.ndarray:
        """(V, *shape) uint8, the images without the rim that holds the size of a fetal head."""
        return self.images if self.outline is None else without_rim(self.images)

    @property
    def names(self) -> tuple[str, ...]:
        """Display name of each view."""
        return tuple("image" if p is None else f"z = {p:+.0f} mm" for p in self.positions_mm)


def prepare(
    volume: Volume,
    settings: InputSettings,
    *,
    positions_mm: tuple[float, ...] | None = None,
    registration: Registration | None = None,
    outline: HeadOutline | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Register, resample and scale a volume as the training images of a model were.

    Parameters
    ----------
    volume : Volume
        A 3D head for models in "mni" space, a 2D image for all others.
    settings : InputSettings
        Of the model.
    positions_mm : tuple[float, ...], optional
        Planes to prepare instead of those in the settings, template mm.
    registration : Registration, optional
        A known registration of this volume; by default it is computed.
    outline : HeadOutline, optional
        The known ellipse of this fetal head; by default it is found.
    progress : Progress, optional
        Called with the stage's name ("register") and a fraction; may raise
        `expert.errors.Cancelled`.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        The volume does not fit the settings, or contains no brain.
    """
    problem = incompatibility(volume, settings)
    if problem:
        raise InputError(problem)
    if settings.space == "image":
        return _prepare_image(volume, settings)
    if settings.space == "ellipse":
        return _prepare_ellipse(volume, settings, outline or find_outline(volume))
    volume = volume.canonical()  # a file and a layer, in other axis orders, give the same result
    if registration is None:
        registration = register(
            volume, progress=None if progress is None else lambda f: progress("register", f)
        )
    positions = settings.positions_mm if positions_mm is None else positions_mm
    return _prepare_head(
        volume, settings, registration, positions if len(settings.shape) == 2 else (None,)
    )


def _prepare_head(
    volume: Volume,
    settings: InputSettings,
    registration: Registration,
    positions: tuple[float | None, ...],
) -> Prepared:
    known = registration.found is None and settings.intensity != "tissue"
    tissue = None
    if not known:
        tissue = TissueHead.of(
            volume,
            registration,
            blur_mm=settings.blur_mm,
            sharpness=settings.sharpness,
            refined=settings.refined,
        )
        registration = tissue.registration
    views = None if settings.intensity == "tissue" else _Grey(volume, settings, registration)
    images, contents, affines = [], [], []
    for position in positions:
        view = view_affine(settings, position)
        # The resampler needs three axes: a plane is a volume of one slice, whose first axis is the
        # height.
        affine, shape = view, settings.shape
        if position is not None:
            affine, shape = view[:, [2, 0, 1, 3]], (1, *settings.shape)
        source = views or tissue
        assert source is not None  # by the two conditions above
        image, content = source.view(affine, shape)
        images.append(image.reshape(settings.shape))
        contents.append(content.reshape(settings.shape))
        affines.append(view)
    if not any(content.any() for content in contents):
        raise InputError(
            "No brain was found in this volume: a T1-weighted image of the whole head is required."
        )
    return Prepared(
        np.stack(images),
        np.stack(contents),
        np.stack(affines),
        positions,
        registration,
        0.0 if tissue is None else missing_brain(tissue.found, registration),
        0.0 if tissue is None else tissue.exposed(volume),
        "" if tissue is None else tissue.refusal,
    )


class _Grey:
    """A head with the grey values of its file, scaled by its brain or its white matter."""

    def __init__(self, volume: Volume, settings: InputSettings, registration: Registration) -> None:
        self.volume, self.registration = volume, registration
        self.low, self.high = intensity_range(volume, registration)
        mask = brain_mask(volume, registration).astype(np.float32)
        self.brain = replace(volume, data=mask, history=())
        white = settings.intensity == "white matter"
        self.white = fit_bias_field(volume, registration) if white else None

    def view(self, affine: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Image and content, (a, b, c) uint8 each, on a grid in template space."""
        inside = resample_to_template(self.brain, self.registration, affine, shape)
        content = np.clip(inside, 0, 1)
        image = resample_to_template(self.volume, self.registration, affine, shape)
        if self.white is None:
            image = np.clip((image - self.low) / (self.high - self.low), 0, 1) * content
        else:  # voxels that are partly brain would get the grey value of another tissue
            image = np.clip(WHITE * self.white.apply(image, affine), 1 / 255, 1) * (content >= 0.5)
        return (
            np.rint(255 * image).astype(np.uint8),
            np.rint(255 * content).astype(np.uint8),
        )


def incompatibility(volume: Volume, settings: InputSettings) -> str:
    """Why a volume does not fit a model.

    Parameters
    ----------
    volume : Volume
    settings : InputSettings
        Of the model.

    Returns
    -------
    str
        One sentence; empty if the volume fits.
    """
    if settings.space == "mni" and volume.ndim != 3:
        return (
            f"This model requires a 3D head volume, not a {volume.ndim}D image: open a "
            "T1-weighted scan of the whole head."
        )
    if settings.space != "mni" and volume.ndim != 2:
        return (
            f"This model requires a 2D image, not a {volume.ndim}D volume: choose a single image."
        )
    measured = settings.sized or settings.space == "ellipse"
    if measured and not volume.spacing_known:
        return (
            "This model measures sizes, and the pixel size of this image is unknown: enter it in "
            "the panel, or as --pixel-size-mm."
        )
    if settings.space == "mni" and not volume.spacing_known:
        return (
            "The voxel size of this volume is unknown: open a file that states it, or set the "
            "layer's scale in mm."
        )
    return ""


def view_affine(settings: InputSettings, position_mm: float | None) -> np.ndarray:
    """The place of a view in the template.

    Parameters
    ----------
    settings : InputSettings
        Of the model.
    position_mm : float, optional
        Height of a plane, mm S; None for a whole volume.

    Returns
    -------
    (4, 4) ndarray
        Indices of the view, (A, R) or (S, A, R), padded with 0, to template RAS mm. The third index
        of a plane is mm S.
    """
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    # Array axes are S, A, R; world rows are R, A, S.
    rows = (1, 0) if position_mm is not None else (2, 1, 0)
    for axis, (row, size, center) in enumerate(
        zip(rows, settings.shape, settings.center_mm, strict=True)
    ):
        affine[row, axis] = settings.spacing_mm
        affine[row, 3] = center - settings.spacing_mm * (size - 1) / 2
    if position_mm is not None:
        affine[2, 2] = 1.0
        affine[2, 3] = position_mm
    return affine


def _full_range(data: np.ndarray) -> tuple[float, float]:
    """The range of a file's data type, which becomes 0 to 1; floats are assumed to be 0 to 1."""
    if data.dtype.kind not in "iu":
        return 0.0, 1.0
    return 0.0, 255.0 if data.dtype.itemsize == 1 else 65535.0


def _prepare_image(volume: Volume, settings: InputSettings) -> Prepared:
    from scipy import ndimage

    data = np.asarray(volume.data, dtype=np.float32)
    size = np.array(data.shape, dtype=float)
    if volume.spacing_known:
        step = settings.spacing_mm / np.asarray(volume.spacing[:2])
    else:  # without a pixel size the image is scaled to fit the input
        step = np.full(2, float((size / np.array(settings.shape)).max()))
    offset = (size - 1) / 2 - step * (np.array(settings.shape) - 1) / 2
    blurred = ndimage.gaussian_filter(
        data, np.maximum(step - 1, 0) / 2
    )  # against aliasing when shrinking
    image = ndimage.affine_transform(blurred, step, offset, settings.shape, order=1)
    inside = ndimage.affine_transform(np.ones_like(data), step, offset, settings.shape, order=1)
    low, high = float(data.min()), float(np.percentile(data, 99.5))
    if settings.intensity == "full":
        low, high = _full_range(volume.data)
    if not high > low:
        raise InputError(
            "The grey values of this image are constant: choose an image with content."
        )
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


def _prepare_ellipse(volume: Volume, settings: InputSettings, outline: HeadOutline) -> Prepared:
    """A fetal head in the frame of its ellipse, with its circumference in the rim of the image."""
    image, content, to_mm = head_frame(volume, outline, settings.shape)
    low, high = float(np.min(volume.data)), float(np.percentile(image[content > 0], 99.5))
    if settings.intensity == "full":
        low, high = _full_range(volume.data)
    if not high > low:
        raise InputError(
            "The grey values of this image are constant: choose an image with content."
        )
    scaled = np.rint(255 * np.clip((image - low) / (high - low), 0, 1) * content).astype(np.uint8)
    content[[0, -1]] = content[:, [0, -1]] = 0  # where the rim is
    affine = np.eye(4)
    affine[:2, :2], affine[:2, 3] = to_mm[:, :2], to_mm[:, 2]
    return Prepared(
        with_rim(scaled, outline.circumference)[None],
        np.rint(255 * content).astype(np.uint8)[None],
        affine[None],
        (None,),
        None,
        outline=outline,
    )
