"""Affine registration of a head to the MNI template, from its brain.

The head network gives the brain and a first pose (`expert.imaging.brain_finding`). The twelve
parameters are then refined by Mattes mutual information between the brain and the skull-stripped
ICBM 152 template, at 4 mm from two starts that must agree, and at 2 mm. All coordinates are RAS mm.
The result is a (4, 4) matrix from template mm to the subject's mm, so that resampling to the
template needs a single interpolation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from expert.imaging.brain_finding import FoundBrain, find_brain
from expert.imaging.conforming import reduce_resolution, regular_grid
from expert.imaging.template import load_template
from expert.imaging.volume import Volume

CENTER = np.array([0.0, -18.0, 10.0])
"""Centre of the template's brain, RAS mm."""
COARSE, FINE = (40, 1.0, 0.2), (25, 0.3, 0.1)
"""Iterations, first step (mm) and fraction of voxels at 4 and at 2 mm. Twice the iterations with
all voxels gave the same within 0.4 mm, in five times the time."""
SECOND_START = (0.14, 6.0, 0.95)
"""Rotation about a diagonal axis (rad), shift along it (mm) and scale of the second start."""
AGREEMENT_MM = 8.0
"""Mean distance of the brain's voxels after the two starts, above which the registration failed."""
OVERLAP = (0.80, 0.92)
"""Dice coefficient of brain and template: below the first number the registration failed, above the
second it is good."""
WHITE_OVERLAP = (0.35, 0.55)
"""The same for white matter."""
STRETCH = 1.7
"""Largest ratio of the scales of two directions."""


@dataclass(frozen=True, eq=False)
class Registration:
    """The transform between a head and the template, and its quality."""

    template_to_subject: np.ndarray
    """(4, 4) template RAS mm to the subject's RAS mm."""
    quality: float
    """0 to 1: 1 if brain and white matter overlap with the template's as they usually do."""
    acceptable: bool
    determinant: float
    """Volume of the subject's brain relative to the template's."""
    message: str = ""
    """One sentence if it is not acceptable."""
    overlap: float = float("nan")
    """Dice coefficient of the brain found and the template's."""
    white_overlap: float = float("nan")
    """Dice coefficient of the white matter found and the template's."""
    agreement_mm: float = float("nan")
    """Mean distance between the results of the two starts, mm."""
    found: FoundBrain | None = None
    """The brain it was computed from; None for a known registration."""

    @classmethod
    def known(cls, template_to_subject: np.ndarray) -> Registration:
        """A registration from an earlier run, such as that of a prototype's image.

        Parameters
        ----------
        template_to_subject : (4, 4) ndarray
            Template RAS mm to the subject's RAS mm.

        Returns
        -------
        Registration
            With a quality of 1.
        """
        matrix = np.asarray(template_to_subject, dtype=float)
        return cls(matrix, 1.0, True, float(np.linalg.det(matrix[:3, :3])))

    def moved(self, template_to_subject: np.ndarray) -> Registration:
        """The registration of the same head by another transform, and its quality.

        Parameters
        ----------
        template_to_subject : (4, 4) ndarray
            Template RAS mm to the subject's RAS mm.

        Returns
        -------
        Registration
        """
        if self.found is None:
            return Registration.known(template_to_subject)
        return _assess(template_to_subject, self.agreement_mm, self.found)


def register(volume: Volume, *, progress: Callable[[float], None] | None = None) -> Registration:
    """Compute the affine transform between the template and a head.

    Parameters
    ----------
    volume : Volume
        Of a head, with or without skull, with any orientation and voxel size.
    progress : callable, optional
        Called with 0 to 1. It may raise `expert.errors.Cancelled`, which is passed on.

    Returns
    -------
    Registration
        The same for the same voxels, in any axis order and with any number of threads. Check
        `acceptable` before use.

    Raises
    ------
    InputError
        Not a 3D volume, or no brain was found in it.

    References
    ----------
    .. [1] Mattes et al., "PET-CT image registration in the chest using free-form deformations",
           IEEE TMI 2003 (metric).
    .. [2] SimpleITK's registration framework.
    """
    steps = _Steps(progress)
    steps.report(0.0)
    if volume.ndim == 3:
        volume = reduce_resolution(volume.canonical(), 2.0)
    found = find_brain(volume)
    steps.report(0.2)
    coarse, fine = _brain_image(volume, found, 4.0), _brain_image(volume, found, 2.0)
    steps.report(0.3)
    starts = (found.template_to_subject, found.template_to_subject @ _moved())
    ends = [
        _optimise(coarse, 4.0, start, COARSE, steps, (0.3 + 0.2 * n, 0.5 + 0.2 * n))
        for n, start in enumerate(starts)
    ]
    agreement = distance_mm(ends[0][0], ends[1][0])
    best = min(ends, key=lambda pair: pair[1])[0]
    matrix, _ = _optimise(fine, 2.0, best, FINE, steps, (0.7, 1.0))
    steps.report(1.0)
    return _assess(matrix, agreement, found)


def load_registration() -> None:
    """Load what `register` needs: the head network, SimpleITK and the template."""
    from expert.imaging.head_network import load_head_network

    load_head_network()
    for spacing in (4.0, 2.0):
        _fixed(spacing)
    _template_maps()
    _brain_points()


def distance_mm(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance between the images of the template's brain under two transforms, mm.

    Parameters
    ----------
    one, other : (4, 4) ndarray
        Template RAS mm to subject RAS mm.

    Returns
    -------
    float
    """
    off = _brain_points() @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    return float(np.linalg.norm(off, axis=1).mean())


def _assess(matrix: np.ndarray, agreement: float, found: FoundBrain) -> Registration:
    overlap, white = _overlaps(matrix, found)
    stretch = np.linalg.svd(matrix[:3, :3], compute_uv=False)

    def scaled(value: float, limits: tuple[float, float]) -> float:
        return float(np.clip((value - limits[0]) / (limits[1] - limits[0]), 0, 1))

    quality = min(scaled(overlap, OVERLAP), scaled(white, WHITE_OVERLAP))
    message = ""
    if quality == 0 or stretch.max() / stretch.min() > STRETCH:
        message = (
            "The registration failed: the brain found does not fit the template (overlap "
            f"{overlap:.2f} of 1). Check that this is a T1-weighted scan of an adult's whole head."
        )
    elif agreement > AGREEMENT_MM:
        message = (
            f"The registration is not reliable: two attempts differ by {agreement:.0f} mm. Check "
            "that this is a T1-weighted scan of the whole head."
        )
    return Registration(
        matrix,
        0.0 if message else quality,
        not message,
        float(np.linalg.det(matrix[:3, :3])),
        message,
        overlap,
        white,
        agreement,
        found,
    )


def _overlaps(matrix: np.ndarray, found: FoundBrain) -> tuple[float, float]:
    """Dice coefficients of the brain and of the white matter with the template's, at 4 mm."""
    brain, white, affine = _template_maps()
    to_index = np.linalg.inv(found.affine) @ matrix @ affine

    def there(array: np.ndarray) -> np.ndarray:
        return np.asarray(
            ndimage.affine_transform(array, to_index[:3, :3], to_index[:3, 3], brain.shape, order=1)
        )

    def dice(one: np.ndarray, other: np.ndarray) -> float:
        return float(2 * np.minimum(one, other).sum() / max(one.sum() + other.sum(), 1e-9))

    return dice(there(found.brain), brain), dice(there(found.tissues[3]), white)


class _Steps:
    """Progress; passes exceptions of the callback through SimpleITK."""

    def __init__(self, progress: Callable[[float], None] | None) -> None:
        self.progress = progress
        self.raised: BaseException | None = None

    def report(self, fraction: float) -> None:
        if self.progress is not None:
            self.progress(min(1.0, fraction))

    def within(self, method: Any, fraction: float) -> None:
        if self.raised is not None:
            return
        try:
            self.report(fraction)
        except (
            BaseException
        ) as error:  # an exception must not cross the C++ frames of the optimiser
            self.raised = error
            method.StopRegistration()


def _optimise(
    moving: Any,
    spacing: float,
    start: np.ndarray,
    plan: tuple[int, float, float],
    steps: _Steps,
    part: tuple[float, float],
) -> tuple[np.ndarray, float]:
    """One run of the optimiser; the matrix found and its metric (lower is better)."""
    import SimpleITK as sitk

    fixed, mask = _fixed(spacing)
    iterations, step, sampling = plan
    method = sitk.ImageRegistrationMethod()
    # Sums in another order give another result in the last digits: the metric is computed in as
    # many parts as there are work units, whatever the number of threads.
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(sampling, 20)  # with a fixed seed
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        step, step / 50, iterations, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    transform = sitk.AffineTransform(3)
    transform.SetCenter(CENTER.tolist())
    transform.SetMatrix(start[:3, :3].ravel().tolist())
    transform.SetTranslation((start[:3, :3] @ CENTER + start[:3, 3] - CENTER).tolist())
    method.SetInitialTransform(transform, inPlace=True)

    def count() -> None:
        done = method.GetOptimizerIteration() / iterations
        steps.within(method, part[0] + (part[1] - part[0]) * done)

    method.AddCommand(sitk.sitkIterationEvent, count)
    try:
        method.Execute(fixed, moving)
        metric = float(method.GetMetricValue())
    except RuntimeError:
        # The images no longer overlap.
        metric = 0.0
    method.RemoveAllCommands()  # else a reference cycle that is never freed
    if steps.raised is not None:
        raise steps.raised
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = CENTER + np.array(transform.GetTranslation()) - matrix[:3, :3] @ CENTER
    return matrix, metric


def _moved() -> np.ndarray:
    """(4, 4) the second start relative to the first, template mm."""
    from scipy.spatial.transform import Rotation

    angle, shift, scale = SECOND_START
    axis = np.ones(3) / np.sqrt(3)
    out = np.eye(4)
    out[:3, :3] = scale * Rotation.from_rotvec(angle * axis).as_matrix()
    out[:3, 3] = CENTER + shift * axis - out[:3, :3] @ CENTER
    return out


def _brain_image(volume: Volume, found: FoundBrain, spacing: float) -> Any:
    """The brain and its rim of a few mm, black elsewhere, as a SimpleITK image."""
    grid = regular_grid(volume, spacing)
    to_index = np.linalg.inv(found.affine) @ grid.affine
    rim = ndimage.gaussian_filter(found.brain, 0.5)
    inside = ndimage.affine_transform(rim, to_index[:3, :3], to_index[:3, 3], grid.shape, order=1)
    weight = np.clip(inside * 2, 0, 1)
    image = ndimage.gaussian_filter((grid.data - grid.data.min()) * weight, 0.5)
    places = np.argwhere(weight > 0.02)
    low = np.maximum(places.min(axis=0) - 3, 0)
    high = places.max(axis=0) + 4
    part = image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return _image(part, spacing, grid.affine[:3, 3] + spacing * low)


@functools.lru_cache(maxsize=2)
def _fixed(spacing: float) -> tuple[Any, Any]:
    """The template and its dilated brain mask as SimpleITK images at 2 or 4 mm."""
    template, brain = load_template("t1"), load_template("mask")
    every = slice(None, None, int(spacing / 2))
    image = ndimage.gaussian_filter(template.data.astype(np.float32), 0.35 * spacing - 0.2)
    near = ndimage.binary_dilation(brain.data > 0, iterations=3)
    origin = template.affine[:3, 3]
    return (
        _image(image[every, every, every], spacing, origin),
        _image(near[every, every, every].astype(np.uint8), spacing, origin),
    )


@functools.lru_cache(maxsize=1)
def _template_maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brain and white matter of the template at 4 mm, 0 to 1, and their affine."""
    brain, white = load_template("mask"), load_template("wm")
    affine = brain.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    maps = [
        ndimage.gaussian_filter(one.data.astype(np.float32) / one.data.max(), 0.8)[::2, ::2, ::2]
        for one in (brain, white)
    ]
    return maps[0], maps[1], affine


@functools.lru_cache(maxsize=1)
def _brain_points() -> np.ndarray:
    """(N, 3) places in the template's brain, RAS mm."""
    brain = load_template("mask")
    index = np.argwhere(brain.data > 0)[::100]
    return np.asarray(index @ brain.affine[:3, :3].T + brain.affine[:3, 3])


def _image(array: np.ndarray, spacing: float, origin: np.ndarray) -> Any:
    """A SimpleITK image whose physical coordinates are RAS mm, not SimpleITK's usual LPS."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T.astype(array.dtype)))
    image.SetSpacing((spacing,) * 3)
    image.SetOrigin(np.asarray(origin, dtype=float).tolist())
    return image
