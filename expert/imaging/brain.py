"""The brain of a registered volume: mask, missing part, range of grey values."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.registration import BLACK, Registration
from expert.imaging.resampling import resample_to_subject, resample_to_template
from expert.imaging.template import load_template
from expert.imaging.volume import Volume


def brain_mask(volume: Volume, registration: Registration) -> np.ndarray:
    """The brain on the volume's own grid: the template's mask, refined where intensities tell brain
    from what surrounds it.

    Returns
    -------
    ndarray
        Bool of the volume's shape.
    """
    template = load_template("mask")
    soft = ndimage.gaussian_filter(template.data.astype(np.float32), 1.0)
    return np.asarray(resample_to_subject(soft, template.affine, registration, volume) > 0.2)


def missing_brain(volume: Volume, registration: Registration) -> float:
    """How much of the brain the volume does not show: beyond its field of view, or black.

    A head registers well by a half, and planes of the other half look like any other: no sign of a
    plane can tell.

    Returns
    -------
    float
        Share of the template's brain, 0 to 1; of 49 whole heads of one scanner at most 0.0001.
    """
    template = load_template("mask")
    inside = ndimage.binary_erosion(template.data > 0.5)[::2, ::2, ::2]
    affine = template.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    data = np.asarray(volume.data, dtype=np.float32)
    # From its darkest voxel on, so that what lies outside of the field of view is as dark.
    raised = Volume(
        data=data - data.min(),
        affine=volume.affine,
        space=volume.space,
        spacing_known=volume.spacing_known,
        history=(),
    )
    values = resample_to_template(raised, registration, affine, inside.shape)[inside]
    return float((values <= BLACK * np.percentile(values, 95)).mean())


def intensity_range(volume: Volume, registration: Registration) -> tuple[float, float]:
    """Grey values that become 0 and 1: robust percentiles inside the brain.

    Returns
    -------
    low, high : tuple[float, float]
        Low < high.

    Raises
    ------
    InputError
        The brain lies outside the volume or is one single grey value.
    """
    inside = volume.data[brain_mask(volume, registration)]
    if inside.size < 100:
        raise InputError(
            "No brain was found in this volume: check that it is a whole-head T1 image."
        )
    low, high = (float(v) for v in np.percentile(inside, [0.5, 99.5]))
    if not high > low:
        raise InputError(
            "The brain in this volume is one single grey value: a mask is no T1 image."
        )
    return low, high
