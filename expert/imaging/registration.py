"""Affine registration of a head to the MNI template.

The whole head (with skull, face and neck) is registered to the skull-stripped ICBM 152 template
with twelve parameters, by Mattes mutual information inside the dilated template brain. All
coordinates are RAS mm. The result is a (4, 4) matrix from template mm to the subject's mm, so that
resampling to the template needs a single interpolation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.template import load_template
from expert.imaging.volume import Volume

CENTER = np.array([0.0, -18.0, 10.0])
"""Centre of the template's brain, RAS mm."""
TOP_TO_CENTER = 70.0
"""Distance from the top of a head down to the centre of its brain, mm."""
START_SCALE = 0.91
"""Adult heads are smaller than the template. With a start at 1, one registration in four mistook
the skull for the edge of the brain."""
DETERMINANT = (0.45, 1.10)
"""Range of brain volumes relative to the template; outside it, the registration failed."""
METRIC_LIMIT = -0.20
"""Negated mutual information: above this the registration failed; good ones are below about
-0.3."""
BLACK = 0.02
"""Fraction of the 95th percentile inside the brain below which there is no signal."""


@dataclass(frozen=True, eq=False)
class Registration:
    """The transform between a head and the template, and its quality."""

    template_to_subject: np.ndarray
    """(4, 4) template RAS mm to the subject's RAS mm."""
    quality: float
    """0 to 1: mutual information relative to that of well registered heads; 0 if the volume of the
    brain is impossible."""
    acceptable: bool
    determinant: float
    """Volume of the subject's brain relative to the template's."""
    metric: float
    """Negated mutual information inside the template's brain, nats; lower is better."""
    message: str = ""
    """One sentence if it is not acceptable."""

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
        return cls(matrix, 1.0, True, float(np.linalg.det(matrix[:3, :3])), float("nan"))


def register(volume: Volume, *, progress: Callable[[float], None] | None = None) -> Registration:
    """Compute the affine transform between the template and a head.

    Parameters
    ----------
    volume : Volume
        T1-weighted, of the whole head, with any orientation and voxel size.
    progress : callable, optional
        Called with 0 to 1. It may raise `expert.errors.Cancelled`, which is passed on.

    Returns
    -------
    Registration
        The same for the same voxels. Check `acceptable` before use.

    Raises
    ------
    InputError
        Not a 3D volume, or it does not contain a head.

    References
    ----------
    .. [1] Mattes et al., "PET-CT image registration in the chest using free-form deformations",
           IEEE TMI 2003 (metric).
    .. [2] SimpleITK's registration framework.
    """
    import SimpleITK as sitk

    if volume.ndim != 3:
        raise InputError("Only 3D volumes can be registered: open a scan of the whole head.")
    grid, origin = _isotropic(volume, 2.0)
    head = _image(ndimage.gaussian_filter(grid, 0.7), 2.0, origin)
    center = _brain_center(grid, origin)
    fixed, mask = _fixed()
    steps = _Steps(progress, total=8 + 3)

    coarse_fixed, coarse_mask = _shrink(fixed, 6.0), _shrink(mask, 6.0, nearest=True)
    coarse_head = _shrink(head, 6.0)
    found = []
    for offset in (-20.0, -5.0, 10.0, 25.0):
        for pitch in (0.0, 0.26):
            start = sitk.Similarity3DTransform()
            start.SetCenter(CENTER.tolist())
            start.SetScale(START_SCALE)
            start.SetRotation((1.0, 0.0, 0.0), pitch)
            start.SetTranslation((center + np.array([0, 0, offset]) - CENTER).tolist())
            found.append(
                _optimise(coarse_fixed, coarse_mask, coarse_head, start, 40, 4.0, None, steps)
            )
    best = min(found, key=lambda pair: pair[1])[0]

    fixed4, mask4, head4 = _shrink(fixed, 4.0), _shrink(mask, 4.0, nearest=True), _shrink(head, 4.0)
    similarity, _ = _optimise(fixed4, mask4, head4, best, 60, 2.0, None, steps)
    affine = sitk.AffineTransform(3)
    affine.SetCenter(similarity.GetCenter())
    affine.SetMatrix(similarity.GetMatrix())
    affine.SetTranslation(similarity.GetTranslation())
    affine, _ = _optimise(fixed4, mask4, head4, affine, 100, 0.3, None, steps)
    affine, metric = _optimise(fixed, mask, head, affine, 80, 0.2, 0.2, steps)

    matrix = np.eye(4)
    matrix[:3, :3] = np.array(affine.GetMatrix()).reshape(3, 3)
    middle = np.array(affine.GetCenter())
    matrix[:3, 3] = middle + np.array(affine.GetTranslation()) - matrix[:3, :3] @ middle
    return _assess(matrix, metric)


def _assess(matrix: np.ndarray, metric: float) -> Registration:
    determinant = float(np.linalg.det(matrix[:3, :3]))
    quality = float(
        np.clip((metric - METRIC_LIMIT / 2) / (2 * METRIC_LIMIT - METRIC_LIMIT / 2), 0, 1)
    )
    stretch = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    message = ""
    if not DETERMINANT[0] <= determinant <= DETERMINANT[1] or stretch.max() / stretch.min() > 1.6:
        quality = 0.0
        message = (
            f"The registration failed (the brain found has {determinant:.2f} times the volume of "
            "the template's): check that this is a T1-weighted scan of the whole head in the right "
            "orientation."
        )
    elif metric > METRIC_LIMIT:
        message = (
            f"Poor registration (quality {quality:.2f} of 1): the prediction is probably wrong. "
            "Check the orientation, and that this is a T1-weighted scan of the whole head."
        )
    return Registration(matrix, quality, not message, determinant, metric, message)


class _Steps:
    """Progress over the stages; passes exceptions of the callback through SimpleITK."""

    def __init__(self, progress: Callable[[float], None] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0
        self.raised: BaseException | None = None

    def within(self, method: Any, iterations: int) -> None:
        if self.progress is None or self.raised is not None:
            return
        try:
            self.progress(
                min(1.0, (self.done + method.GetOptimizerIteration() / iterations) / self.total)
            )
        except (
            BaseException
        ) as error:  # an exception must not cross the C++ frames of the optimiser
            self.raised = error
            method.StopRegistration()


def _optimise(
    fixed: Any,
    mask: Any,
    moving: Any,
    start: Any,
    iterations: int,
    step: float,
    sampling: float | None,
    steps: _Steps,
) -> tuple[Any, float]:
    """One run of the optimiser; the transform found and its metric."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in another order give another result in the last digits
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(mask)
    if sampling is not None:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(sampling, 20)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        step, step / 100, iterations, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    transform = type(start)(start)
    method.SetInitialTransform(transform, inPlace=True)
    method.AddCommand(sitk.sitkIterationEvent, lambda: steps.within(method, iterations))
    try:
        method.Execute(fixed, moving)
        metric = float(method.GetMetricValue())
    except RuntimeError:
        # The images no longer overlap.
        metric = 0.0
    method.RemoveAllCommands()  # else a reference cycle that is never freed
    if steps.raised is not None:
        raise steps.raised
    steps.done += 1
    return transform, metric


@functools.lru_cache(maxsize=1)
def _fixed() -> tuple[Any, Any]:
    """The template and its dilated brain mask as SimpleITK images at 2 mm."""
    template, brain = load_template("t1"), load_template("mask")
    origin = template.affine[:3, 3]
    near = ndimage.binary_dilation(brain.data > 0, iterations=3)
    return (
        _image(ndimage.gaussian_filter(template.data.astype(np.float32), 0.7), 2.0, origin),
        _image(near.astype(np.uint8), 2.0, origin),
    )


def _image(array: np.ndarray, spacing: float, origin: np.ndarray) -> Any:
    """A SimpleITK image whose physical coordinates are RAS mm, not SimpleITK's usual LPS."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing((spacing,) * 3)
    image.SetOrigin(np.asarray(origin, dtype=float).tolist())
    return image


def _shrink(image: Any, spacing: float, nearest: bool = False) -> Any:
    """The image at a larger spacing.

    SimpleITK's own multi-resolution levels changed predictions by up to 1.1 years in a trial.
    """
    import SimpleITK as sitk

    factor = spacing / image.GetSpacing()[0]
    size = [max(1, int(np.ceil(n / factor))) for n in image.GetSize()]
    source = image if nearest else sitk.SmoothingRecursiveGaussian(image, spacing / 2)
    kind = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    return sitk.Resample(
        source,
        size,
        sitk.Transform(),
        kind,
        image.GetOrigin(),
        (spacing,) * 3,
        image.GetDirection(),
        0.0,
    )


def _isotropic(volume: Volume, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """The volume on a grid along RAS: (x, y, z) float32 0 to 1, and its origin in RAS mm."""
    data = np.asarray(volume.data, dtype=np.float32)
    sigma = (
        np.maximum(spacing / np.array(volume.spacing) - 1, 0) / 2
    )  # against aliasing of finer voxels
    if sigma.any():
        data = ndimage.gaussian_filter(data, sigma)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape], indexing="ij")).reshape(
        3, -1
    )
    world = volume.affine[:3, :3] @ corners + volume.affine[:3, 3:]
    origin = world.min(axis=1)
    size = np.ceil(np.ptp(world, axis=1) / spacing).astype(int) + 1
    if size.max() > 512 or size.min() < 16:
        extent = "×".join(f"{n * spacing:.0f}" for n in size)
        raise InputError(
            f"The volume is {extent} mm in size, which is not the size of a head: check its voxel "
            "size."
        )
    grid = np.eye(4)
    grid[:3, :3] *= spacing
    grid[:3, 3] = origin
    to_index = np.linalg.inv(volume.affine) @ grid
    out = ndimage.affine_transform(data, to_index[:3, :3], to_index[:3, 3], tuple(size), order=1)
    low, high = np.percentile(out, [2, 99.5])
    if not high > low:
        raise InputError("The volume is (nearly) empty: it contains no head.")
    return np.clip((out - low) / (high - low), 0, 1).astype(np.float32), origin


def _brain_center(grid: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Approximate centre of the brain, RAS mm.

    Below the top of the head, centred on the slices there.
    """
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(grid, 2)
    inside = ndimage.binary_opening(smooth > 0.5 * threshold_otsu(smooth), iterations=2)
    labels, count = ndimage.label(inside)
    if not count:
        raise InputError(
            "No head was found in this volume: a T1-weighted image of the whole head is required."
        )
    inside = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    area = inside.sum(axis=(0, 1)) * 4.0
    top = int(np.flatnonzero(area > min(2000.0, 0.3 * area.max())).max())
    slab = inside[:, :, max(0, top - 55) : max(1, top - 15)]
    middle = np.argwhere(slab if slab.any() else inside).mean(axis=0)
    return np.array([*(origin[:2] + 2.0 * middle[:2]), origin[2] + 2.0 * top - TOP_TO_CENTER])
