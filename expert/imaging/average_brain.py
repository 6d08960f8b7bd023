"""The average brain, to which heads are registered for anatomical coordinates."""

from __future__ import annotations

import functools

import numpy as np

from expert.imaging.preprocessing import view_affine
from expert.imaging.template import AVERAGE, DATA
from expert.schema import InputSettings


@functools.lru_cache(maxsize=4)
def average_brain(settings: InputSettings) -> np.ndarray:
    """The average brain of the package, on the grid of a network's input.

    Parameters
    ----------
    settings : InputSettings
        Of a model of whole heads.

    Returns
    -------
    (z, y, x) uint8 ndarray
        Tissue values, 0 outside.
    """
    import nibabel
    from scipy import ndimage

    image = nibabel.load(DATA / AVERAGE)
    to_index = np.linalg.inv(image.affine) @ view_affine(settings, None)
    return np.asarray(
        ndimage.affine_transform(
            np.asarray(image.dataobj), to_index[:3, :3], to_index[:3, 3], settings.shape, order=1
        )
    )
