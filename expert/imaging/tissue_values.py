"""Grey values that mean tissue: fluid, grey and white matter have fixed values in every head.

The means of the three tissues and a smooth bias field are estimated together by expectation
maximisation, with the tissues that the head network found as prior. The grey values are then mapped
so that fluid is 0, grey matter 0.5 and white matter 1, with straight lines in between: a voxel that
is half grey and half white matter has 0.75.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.features.grey_values import WHITE_MATTER
from expert.imaging.blurred_image import BlurredImage, sample
from expert.imaging.brain import exposed_tissue
from expert.imaging.brain_finding import FoundBrain, find_brain
from expert.imaging.refinement import refine
from expert.imaging.registration import Registration
from expert.imaging.template import load_template
from expert.imaging.volume import Volume

WHITE = WHITE_MATTER
CONTRAST = 0.04
"""Least `TissueHead.contrast` of a T1-weighted image."""
ORDER = 3
"""Degree of the polynomial of the bias field, in the logarithm."""
ITERATIONS = 12
PRIOR = 0.02
"""Added to each tissue's prior: the network errs by a voxel at the edges of tissues."""
TOP = 1.2
"""Largest tissue value; white matter has 1."""


@dataclass(frozen=True, eq=False)
class TissueScale:
    """Grey values of the tissues of one head, and its bias field."""

    means: np.ndarray
    """(3,) grey values of fluid, grey and white matter."""
    spreads: np.ndarray
    """(3,) standard deviations."""
    coefficients: np.ndarray
    """Of the logarithm of the bias field."""
    middle: np.ndarray
    """(3,) template mm at the origin of the polynomial."""

    def bias(self, points: np.ndarray) -> np.ndarray:
        """The bias field at template mm (3, ...)."""
        return np.asarray(
            np.exp(np.tensordot(_terms(points, self.middle), self.coefficients, axes=(0, 0)))
        )

    def tissue_values(self, values: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Grey values as tissue values.

        Parameters
        ----------
        values : (...) ndarray
            Grey values.
        points : (3, ...) ndarray
            Where they are, template RAS mm.

        Returns
        -------
        (...) ndarray
            0 fluid, 0.5 grey matter, 1 white matter; from 0 to 1.2.
        """
        fluid, grey, white = self.means
        level = values / self.bias(points)
        low = 0.5 * (level - fluid) / (grey - fluid)
        high = 0.5 + 0.5 * (level - grey) / (white - grey)
        return np.asarray(np.clip(np.where(level < grey, low, high), 0, TOP))


def fit_tissue_scale(values: np.ndarray, priors: np.ndarray, points: np.ndarray) -> TissueScale:
    """Estimate the grey values of the tissues and the bias field of one head.

    Parameters
    ----------
    values : (N,) ndarray
        Grey values of voxels of the brain, at most some ten thousand.
    priors : (3, N) ndarray
        Fractions of fluid, grey and white matter that the head network found there.
    points : (3, N) ndarray
        Where they are, template RAS mm.

    Returns
    -------
    TissueScale

    Raises
    ------
    InputError
        The grey values are constant.

    References
    ----------
    .. [1] Van Leemput et al., "Automated model-based bias field correction of MR images of the
           brain", IEEE TMI 1999.
    """
    middle = points.mean(axis=1)
    terms = _terms(points, middle)[1:]  # the constant is in the means
    typical = float(np.median(values[priors[2] > 0.5])) if (priors[2] > 0.5).any() else 0.0
    if not typical > 0 or float(np.ptp(values)) == 0:
        raise InputError(
            "The grey values in the brain of this volume are constant: a T1-weighted image is "
            "required."
        )
    # Voxels near 0 (outside of a skull-stripped head, or black) have no logarithm.
    level = np.log(np.maximum(values, 0.02 * typical) / typical)
    linear = values / typical
    coefficients = np.zeros(len(terms))
    sure = np.clip(priors, 0, 1) ** 3
    means = (sure * linear).sum(1) / np.maximum(sure.sum(1), 1e-9)
    spreads = np.full(3, 0.15)
    for _ in range(ITERATIONS):
        corrected = linear * np.exp(-terms.T @ coefficients)
        shares = _responsibilities(corrected, means, spreads, priors)
        weight = shares.sum(1) + 1e-9
        means = (shares * corrected).sum(1) / weight
        spreads = np.sqrt((shares * (corrected - means[:, None]) ** 2).sum(1) / weight)
        spreads = np.maximum(spreads, 0.02)
        # The logarithm of the bias field, from grey and white matter.
        precision = shares[1:] * (means[1:, None] / spreads[1:, None]) ** 2
        expected = (precision * np.log(np.maximum(means[1:, None], 0.02))).sum(0)
        total = precision.sum(0)
        rest = level - expected / np.maximum(total, 1e-9)
        usable = total * (np.abs(rest - terms.T @ coefficients) < 0.5)
        scaled = terms * usable
        coefficients = np.linalg.solve(
            scaled @ terms.T + 1e-3 * usable.sum() * np.eye(len(terms)) * 0.01, scaled @ rest
        )
    return TissueScale(
        means * typical, spreads * typical, np.concatenate([[0.0], coefficients]), middle
    )


def _responsibilities(
    values: np.ndarray, means: np.ndarray, spreads: np.ndarray, priors: np.ndarray
) -> np.ndarray:
    """(3, N) probability of each tissue, by value and prior."""
    off = (values - means[:, None]) / spreads[:, None]
    density = np.exp(-0.5 * np.minimum(off**2, 200)) / spreads[:, None]
    joint = (priors + PRIOR) ** 2 * density
    # An unusual value belongs to no tissue, and has little weight.
    return np.asarray(joint / (joint.sum(0) + 0.01))


def _terms(points: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(20, ...) products of powers of coordinates, in units of 80 mm."""
    x, y, z = (points - middle.reshape(3, *[1] * (points.ndim - 1))) / 80.0
    powers = [
        (i, j, k)
        for i in range(ORDER + 1)
        for j in range(ORDER + 1 - i)
        for k in range(ORDER + 1 - i - j)
    ]
    powers.sort(key=sum)
    return np.stack([x**i * y**j * z**k for i, j, k in powers])


@dataclass(frozen=True, eq=False)
class TissueHead:
    """A registered head whose grey values are turned into tissue values."""

    image: BlurredImage
    registration: Registration
    found: FoundBrain
    scale: TissueScale
    contrast: float
    """White minus grey matter relative to white matter, where the template has them. Not where
    the network sees them: in an image of another contrast it mistakes one for the other."""

    @classmethod
    def of(
        cls,
        volume: Volume,
        registration: Registration,
        *,
        blur_mm: float = 0.0,
        sharpness: float = 0.0,
        refined: bool = False,
    ) -> TissueHead:
        """Estimate the tissues' grey values of a head.

        Parameters
        ----------
        volume : Volume
            The head.
        registration : Registration
            Of this volume.
        blur_mm : float
            Standard deviation of the blur to which the head is brought, mm; 0: about that of voxels
            of 2 mm.
        sharpness : float
            To which the head is blurred further, see `expert.imaging.sharpness`; 0: it is not.
        refined : bool
            Whether the tissue values refine the registration.

        Returns
        -------
        TissueHead

        Raises
        ------
        InputError
            The volume contains no brain, or its grey values are constant.
        """
        found = find_brain(volume) if registration.found is None else registration.found
        image = BlurredImage.of(volume, found, blur_mm)
        head = cls._fitted(image, registration, found)
        if refined and registration.acceptable:
            better = refine(registration.template_to_subject, head.sample)
            head = cls._fitted(image, registration.moved(better), found)
        if not sharpness:
            return head
        registration = head.registration
        image = image.blurred_to(sharpness, registration.template_to_subject)
        return head if image is head.image else cls._fitted(image, registration, found)

    @classmethod
    def _fitted(
        cls, image: BlurredImage, registration: Registration, found: FoundBrain
    ) -> TissueHead:
        points = _sample_points()
        matrix = registration.template_to_subject
        values = image.at(points, matrix)
        priors = np.stack([sample(one, found.affine, matrix, points) for one in found.tissues[1:]])
        inside = (priors.sum(axis=0) > 0.5) & (values > 0)
        if inside.sum() < 1000:
            raise InputError("The brain of this volume is black or outside the image.")
        scale = fit_tissue_scale(values[inside], priors[:, inside], points[:, inside])
        white, grey = (float(np.median(values[inside & core])) for core in _tissue_cores())
        return cls(image, registration, found, scale, (white - grey) / max(white, 1e-9))

    def sample(self, points: np.ndarray, template_to_subject: np.ndarray) -> np.ndarray:
        """Tissue values under another registration, see `expert.imaging.refinement.Sample`."""
        values = self.image.at(points, template_to_subject)
        share = sample(self.found.brain, self.found.affine, template_to_subject, points)
        return np.asarray(self.scale.tissue_values(values, points) * np.clip(share, 0, 1))

    @property
    def refusal(self) -> str:
        """One sentence if the contrast is not that of a T1-weighted image; else empty."""
        if self.contrast >= CONTRAST:
            return ""
        seen = "brighter than" if self.contrast < 0 else "as bright as"
        return (
            f"This is not a T1-weighted image: grey matter is {seen} white matter. Open a "
            "T1-weighted scan of the head."
        )

    def exposed(self, volume: Volume) -> float:
        """Fraction of an extracted brain's surface that is grey or white matter.

        Parameters
        ----------
        volume : Volume
            This head as it was read.

        Returns
        -------
        float
            See `expert.imaging.brain.exposed_tissue`.
        """
        return exposed_tissue(volume, self.found, float(self.scale.means[:2].mean()))

    def view(self, affine: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The head on a grid in template space.

        Parameters
        ----------
        affine : (4, 4) ndarray
            Output index to template RAS mm.
        shape : tuple[int, ...]
            Of the output.

        Returns
        -------
        image : (a, b, c) uint8 ndarray
            0 outside the brain; 1 fluid, 100 grey and 200 white matter.
        content : (a, b, c) uint8 ndarray
            255 where a voxel is entirely brain.
        """
        matrix = np.linalg.inv(self.found.affine) @ self.registration.template_to_subject @ affine
        share = ndimage.affine_transform(
            self.found.brain, matrix[:3, :3], matrix[:3, 3], shape, order=1
        )
        share = np.clip(share, 0, 1)
        near = share > 0
        points = affine[:3, :3] @ np.argwhere(near).T + affine[:3, 3:]
        values = self.image.at(points, self.registration.template_to_subject)
        content = np.zeros(shape, np.uint8)
        content[near] = np.rint(255 * share[near] * (values > 0))
        inside = (share[near] >= 0.5) & (values > 0)
        tissue = self.scale.tissue_values(values, points)
        image = np.zeros(shape, np.uint8)
        image[near] = inside * np.clip(np.rint(WHITE * tissue), 1, 255)
        return image, content


def _sample_index() -> np.ndarray:
    """(3, N) every second voxel of the template's brain and its rim."""
    near = ndimage.binary_dilation(load_template("mask").data > 0, iterations=3)
    return np.asarray(np.argwhere(near[::2, ::2, ::2]).T * 2)


@functools.lru_cache(maxsize=1)
def _sample_points() -> np.ndarray:
    """(3, N) template RAS mm of `_sample_index`."""
    affine = load_template("mask").affine
    return np.asarray(affine[:3, :3] @ _sample_index() + affine[:3, 3:])


def load_tissue_values() -> None:
    """Load the template's tissues, which `TissueHead` needs."""
    _sample_points()
    _tissue_cores()


@functools.lru_cache(maxsize=1)
def _tissue_cores() -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool each: points well inside the white and in the grey matter of the template."""
    index = tuple(_sample_index())
    white, grey = (load_template("wm").data, load_template("gm").data)
    inner = ndimage.binary_erosion(white > 0.9 * 255)
    return inner[index], (grey > 0.7 * 255)[index]
