"""Arrays of an explanation that was read from a file: whether they belong together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.json_arrays import Budget
from expert.untrusted.documents import check_json, read_bytes
from expert.untrusted.model_tensors import norms_problem

if TYPE_CHECKING:
    from expert.explanation import Explanation, PrototypeMatch, View

LARGEST_FILE = 1 << 29
"""Bytes of an explanation."""
LARGEST_NUMBER = 1e12
"""Of a label, a distance or a cost: their squares and sums are finite."""
LARGEST_ARRAYS = 3 << 29
"""Bytes of all its arrays together."""


BAD_NUMBER = "a number is not finite, too large or too small"


def read_explanation(kind: type[Explanation], path: Path) -> Explanation:
    """Read an explanation, and check that its arrays belong together.

    Parameters
    ----------
    kind : type
        `Explanation`.
    path : pathlib.Path

    Returns
    -------
    Explanation

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is too large, or no explanation.
    InputError
        Its arrays do not fit.
    """
    data = read_bytes(path, LARGEST_FILE)
    check_json(data)
    found = kind.model_validate_json(data, context=Budget(LARGEST_ARRAYS))
    if problem := explanation_problem(found):
        raise InputError(f"The explanation {path.name} is damaged: {problem}.")
    return found


def explanation_problem(e: Explanation) -> str:
    """What does not fit in an explanation.

    Parameters
    ----------
    e : Explanation
        Its fields have the right types.

    Returns
    -------
    str
        A part of a sentence; empty if all fits.
    """
    return next((problem for problem in _problems(e) if problem), "")


def _problems(e: Explanation) -> Iterator[str]:
    if len(e.grid) not in (2, 3) or min(e.grid) < 1 or not e.views or not e.prototypes:
        yield "the grid, the views or the prototypes are missing"
        return
    patches, count = math.prod(e.grid), e.labels.size
    for name in ("labels", "source_labels", "distances", "shares"):
        yield _number_problem(name, getattr(e, name), (count,), nan=name == "source_labels")
    if (e.shares < 0).any():
        yield "shares are negative"
    numbers = [e.prediction, e.nearest_distance, e.radius]
    if e.interval is not None:
        numbers += [e.interval.lower, e.interval.upper, e.interval.level]
    if e.head_size is not None:
        numbers += [e.head_size.circumference_mm, *e.head_size.axes_mm]
    if e.registration is not None:
        numbers.append(e.registration.quality)
        matrix = e.registration.template_to_subject
        yield _number_problem("template_to_subject", matrix, (4, 4))
    if not _usable(np.array(numbers)) or e.radius < 1 / LARGEST_NUMBER:
        yield BAD_NUMBER
    shape = e.view_shape
    if len(shape) != len(e.grid) or any(n % g or n < g for n, g in zip(shape, e.grid, strict=True)):
        yield "the images do not fit the grid"
        return
    for view in e.views:
        yield from _view_problems(view, shape, count, patches)
    if len({match.index for match in e.prototypes}) < len(e.prototypes):
        yield "a prototype is listed twice"
    for match in e.prototypes:
        yield from _match_problems(match, e, count, patches)
    yield norms_problem(e.norms, patches, len(e.views))


def _view_problems(view: View, shape: tuple[int, ...], count: int, patches: int) -> Iterator[str]:
    yield _image_problem("image", view.image, (shape,))
    yield _number_problem("affine", view.affine, (4, 4))
    yield _number_problem("mass", view.mass, (patches,))
    yield _number_problem("distances", view.distances, (count,))
    yield _number_problem("shares", view.shares, (count,))
    yield _number_problem("contributions", view.contributions, (count, patches))
    if not _usable(np.array(view.prediction)):
        yield BAD_NUMBER
    if (view.mass < 0).any() or not view.mass.sum() > 0 or (view.shares < 0).any():
        yield "mass or shares are negative"


def _match_problems(
    match: PrototypeMatch, e: Explanation, count: int, patches: int
) -> Iterator[str]:
    if not 0 <= match.index < count or match.rank < 1:
        yield "a prototype does not exist"
    if len(match.views) != len(e.views):
        yield "the views of a prototype are not those of the image"
    if match.image is not None:
        shapes = e.view_shape, (len(e.views), *e.view_shape)
        yield _image_problem("image", match.image, shapes)
    if not _usable(np.array([match.label, match.own_label, match.share, match.distance])):
        yield BAD_NUMBER
    for view in match.views:
        yield _number_problem("flow", view.flow, (patches, patches))
        yield _number_problem("cost", view.cost, (patches, patches))
        if not _usable(np.array([view.distance, view.share, view.scale, view.marginal_error])):
            yield BAD_NUMBER
        if (view.flow < 0).any():
            yield "flow is negative"


def _number_problem(
    name: str, array: np.ndarray, shape: tuple[int, ...], *, nan: bool = False
) -> str:
    if array.shape != shape or not array.size:
        return f"{name} has shape {array.shape}"
    if array.dtype.kind not in "fiu":
        return f"{name} has type {array.dtype}"
    known = array[~np.isnan(array)] if nan else array
    return "" if _usable(known) else f"{name} contains numbers that are not finite or too large"


def _usable(numbers: np.ndarray) -> bool:
    return bool((np.abs(numbers.astype(float)) <= LARGEST_NUMBER).all())  # not of NaN


def _image_problem(name: str, array: np.ndarray, shapes: tuple[tuple[int, ...], ...]) -> str:
    if array.shape not in shapes:
        return f"{name} has shape {array.shape}"
    return "" if array.dtype == np.uint8 else f"{name} has type {array.dtype}"
