"""A head at the resolution at which its tissues are measured, with the rules of its edge."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from expert.imaging.brain import brain_surface
from expert.imaging.brain_finding import FoundBrain
from expert.imaging.conforming import add_blur, common_resolution, equal_blur
from expert.imaging.sharpness import brain_grid, missing_blur
from expert.imaging.volume import Volume

RESOLUTION_MM = 2.0
"""Finer volumes are brought to this resolution, if no blur is asked for."""
EXTRACTED = 0.5
"""Fraction of the surface that lies in an extracted brain; in a whole head, none does."""
LEAST_WEIGHT = 1e-3
"""Blurred values are unknown where less than this of the weight is in the image."""


@dataclass(frozen=True, eq=False)
class BlurredImage:
    """Grey values of a head, interpolated by splines.

    The blur mixes an extracted brain with the black around it, which would look like fluid. So
    black voxels outside an extracted brain do not count: blurred values are means of the others.
    """

    volume: Volume
    """From 0."""
    weight: np.ndarray | None
    """(i, j, k) fraction of the blurred values that is inside an extracted brain; None: a whole
    head, all of it counts."""
    splines: np.ndarray
    """(i, j, k) coefficients of the splines through `volume`."""
    order: int
    """Of the splines."""

    @classmethod
    def of(cls, volume: Volume, found: FoundBrain, blur_mm: float) -> BlurredImage:
        """Bring a head to a common resolution.

        Parameters
        ----------
        volume : Volume
            The head.
        found : FoundBrain
            Its brain.
        blur_mm : float
            Standard deviation of the blur, mm, see `expert.imaging.conforming.equal_blur`; 0: about
            that of voxels of 2 mm, linear interpolation, and black voxels count.

        Returns
        -------
        BlurredImage
        """
        if not blur_mm:
            even = common_resolution(volume, RESOLUTION_MM)
            return cls._of(replace(even, data=even.data - float(even.data.min())), None, 1)
        data = np.asarray(volume.data, np.float32) - float(np.min(volume.data))
        raised = replace(volume, data=data)
        if not brain_surface(volume, found, EXTRACTED).size:
            return cls._of(equal_blur(raised, blur_mm), None, 3)
        inside = equal_blur(replace(raised, data=(data > 0).astype(np.float32)), blur_mm).data
        # Black voxels that are enclosed are fluid, and count.
        enclosed = ndimage.binary_fill_holes(inside > 0.5) & (inside <= 0.5)
        return cls._of(equal_blur(raised, blur_mm), np.where(enclosed, 1, inside), 3)

    @classmethod
    def _of(cls, total: Volume, weight: np.ndarray | None, order: int) -> BlurredImage:
        """From blurred values times their weight."""
        even = total
        if weight is not None:
            known = weight > LEAST_WEIGHT
            means = np.where(known, total.data / np.maximum(weight, LEAST_WEIGHT), 0)
            even = replace(total, data=np.asarray(means, np.float32))
        linear = order == 1
        splines = even.data if linear else ndimage.spline_filter(even.data, order, np.float32)
        return cls(even, weight, splines, order)

    def blurred_to(self, sharpness: float, template_to_subject: np.ndarray) -> BlurredImage:
        """The head, blurred to a sharpness.

        Parameters
        ----------
        sharpness : float
            See `expert.imaging.sharpness`.
        template_to_subject : (4, 4) ndarray
            Registration of the head.

        Returns
        -------
        BlurredImage
            The same, if it is not sharper.
        """
        affine, inner = brain_grid()
        to_index = np.linalg.inv(self.volume.affine) @ template_to_subject @ affine
        image = ndimage.affine_transform(
            self.splines, to_index[:3, :3], to_index[:3, 3], inner.shape, order=self.order,
            prefilter=False,
        )  # fmt: skip
        variance = missing_blur(np.maximum(image, 0), sharpness)
        if not variance:
            return self
        variance *= abs(np.linalg.det(template_to_subject[:3, :3])) ** (2 / 3)  # subject's mm
        if self.weight is None:
            return self._of(add_blur(self.volume, variance), None, self.order)
        weight = replace(self.volume, data=self.weight)
        total = replace(self.volume, data=self.volume.data * self.weight)
        return self._of(add_blur(total, variance), add_blur(weight, variance).data, self.order)

    def at(self, points: np.ndarray, template_to_subject: np.ndarray) -> np.ndarray:
        """Grey values at places.

        Parameters
        ----------
        points : (3, N) ndarray
            Template RAS mm.
        template_to_subject : (4, 4) ndarray
            Registration of the head.

        Returns
        -------
        (N,) ndarray
            0 outside the image and outside an extracted brain.
        """
        values = sample(self.splines, self.volume.affine, template_to_subject, points, self.order)
        if self.weight is None:
            return values
        share = sample(self.weight, self.volume.affine, template_to_subject, points)
        return np.asarray(np.where(share >= 0.5, values, 0))


def sample(
    data: np.ndarray,
    affine: np.ndarray,
    template_to_subject: np.ndarray,
    points: np.ndarray,
    order: int = 1,
) -> np.ndarray:
    """An array on the subject's grid at places in the template.

    Parameters
    ----------
    data : (i, j, k) ndarray
        Coefficients of splines; of order 1, they are the values.
    affine : (4, 4) ndarray
        Of the array, index to RAS mm.
    template_to_subject : (4, 4) ndarray
        Registration.
    points : (3, N) ndarray
        Template RAS mm.
    order : int
        Of the splines.

    Returns
    -------
    (N,) ndarray
        0 outside the array.
    """
    matrix = np.linalg.inv(affine) @ template_to_subject
    index = matrix[:3, :3] @ points + matrix[:3, 3:]
    return np.asarray(ndimage.map_coordinates(data, index, order=order, prefilter=False))
