"""The brain of a registered volume: mask, missing fraction, range of grey values."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.registration import BLACK, Registration
from expert.imaging.resampling import resample_to_subject, resample_to_template
from expert.imaging.template import load_template
from expert.imaging.volume import Volume


def brain_mask(volume: Volume, registration: Registration) -> np.ndarray:
    """The template's brain mask on the volume's own grid.

    Parameters
    ----------
    volume : Volume
    registration : Registration
        Of this volume.

    Returns
    -------
    bool ndarray
        Of the volume's shape.
    """
    template = load_template("mask")
    soft = ndimage.gaussian_filter(template.data.astype(np.float32), 1.0)
    return np.asarray(resample_to_subject(soft, template.affine, registration, volume) > 0.2)


def missing_brain(volume: Volume, registration: Registration) -> float:
    """Fraction of the brain that is outside the field of view, or black.

    Half a head can be registered well, and its planes can look normal: neither the registration nor
    the out-of-distribution indicators detect it.

    Parameters
    ----------
    volume : Volume
    registration : Registration
        Of this volume.

    Returns
    -------
    float
        0 to 1, as a fraction of the template's brain. It was at most 0.0001 in 49 whole heads of
        one scanner.
    """
    template = load_template("mask")
    inside = ndimage.binary_erosion(template.data > 0.5)[::2, ::2, ::2]
    affine = template.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    data = np.asarray(volume.data, dtype=np.float32)
    # The darkest voxel becomes 0, the value outside the field of view.
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

    Parameters
    ----------
    volume : Volume
    registration : Registration
        Of this volume.

    Returns
    -------
    low, high : float
        With low < high.

    Raises
    ------
    InputError
        The brain lies outside the volume, or its grey values are constant.
    """
    inside = volume.data[brain_mask(volume, registration)]
    if inside.size < 100:
        raise InputError(
            "No brain was found in this volume: a T1-weighted image of the whole head is required."
        )
    low, high = (float(v) for v in np.percentile(inside, [0.5, 99.5]))
    if not high > low:
        raise InputError(
            "The grey values in the brain of this volume are constant: a T1-weighted image is "
            "required."
        )
    return low, high
