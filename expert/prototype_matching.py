"""`explain_prototypes`: prototypes beyond the explained ones, matched when they are asked for.

An `Explanation` contains plans for its first prototypes only: those of all prototypes would need
gigabytes. It contains the views and their patch mass, from which the network finds any other plan
again, with the numbers of the first run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.comparison import choose_device, dense, features_of
from expert.errors import InputError
from expert.explanation import Explanation, PrototypeMatch, ViewMatch
from expert.features.head_frame import with_rim
from expert.features.threads import one_thread
from expert.model_file import Model

if TYPE_CHECKING:
    from torch import Tensor

    from expert.datasets.average_images import ShownImage
    from expert.model import Comparison


def ranks(explanation: Explanation) -> np.ndarray:
    """Rank of every prototype: 1 for the largest share; equal shares are ranked by distance.

    Parameters
    ----------
    explanation : Explanation

    Returns
    -------
    (P,) int ndarray
    """
    order = np.lexsort((explanation.distances, -explanation.shares))
    out = np.empty(len(order), dtype=int)
    out[order] = np.arange(1, len(order) + 1)
    return out


def explain_prototypes(
    model: Model,
    explanation: Explanation,
    indices: Sequence[int],
    *,
    images: bool = True,
    data: str | Path | None = None,
    device: str = "cpu",
) -> tuple[PrototypeMatch, ...]:
    """Match an explained image with any prototypes of the model.

    Parameters
    ----------
    model : Model
        The model of the explanation.
    explanation : Explanation
        From `expert.explain`, or loaded.
    indices : sequence of int
        0-based, of the prototypes.
    images : bool
        Whether to look up the images of the prototypes.
    data : path-like, optional
        Folder of the data set, for models that refer to their prototypes' images.
    device : {"cpu", "cuda", "mps", "auto"}
        Where the backbone runs.

    Returns
    -------
    tuple of PrototypeMatch
        In the order of `indices`, as `explain` gives them with a larger `top`.

    Raises
    ------
    InputError
        The explanation is by another model.
    """
    from expert.datasets.average_images import ShownImage, shown_image  # these load SciPy
    from expert.notices import NOT_REQUESTED

    if model.sha256 != explanation.model_sha256:
        raise InputError(
            f"This explanation is by another model than {model.info.name} {model.info.version}: "
            f"open the model {explanation.model_name} {explanation.model_version} to match it with "
            "more prototypes."
        )
    rank, found = ranks(explanation), list(indices)
    if not found:
        return ()
    parts = [_compared(model, explanation, view, found, device) for view in _numbers(explanation)]
    out = []
    for n, index in enumerate(found):
        views = tuple(
            ViewMatch(
                distance=float(view.distances[index]),
                share=float(view.shares[index]),
                flow=_matrix(part, part.flow[0, n]),
                cost=_matrix(part, part.cost[0, n]),
                scale=float(model.network.scale),
                marginal_error=float(part.marginal_error[0, n]),
            )
            for view, part in zip(explanation.views, parts, strict=True)
        )
        shown = shown_image(model, index, data) if images else ShownImage(None, None, NOT_REQUESTED)
        share, distance = float(explanation.shares[index]), float(explanation.distances[index])
        out.append(prototype_match(model, int(rank[index]), index, share, distance, views, shown))
    return tuple(out)


def prototype_match(
    model: Model,
    rank: int,
    index: int,
    share: float,
    distance: float,
    views: tuple[ViewMatch, ...],
    shown: ShownImage,
) -> PrototypeMatch:
    """A prototype with what the model states about it.

    Parameters
    ----------
    model : Model
    rank : int
        1-based, by share.
    index : int
        0-based, of the prototype.
    share, distance : float
        In the prediction; from the image, label units.
    views : tuple of ViewMatch
        One per view of the explanation.
    shown : ShownImage
        From `expert.datasets.average_images.shown_image`.

    Returns
    -------
    PrototypeMatch
    """
    info = model.info.prototypes[index]
    return PrototypeMatch(
        rank=rank,
        index=index,
        label=info.label,
        source_label=info.source_label,
        share=share,
        distance=distance,
        reference=info.reference,
        image=shown.image,
        average=shown.average,
        image_message=shown.message,
        position_mm=info.reference.position_mm if info.reference else None,
        views=views,
    )


def _matrix(part: Comparison, values: Tensor) -> np.ndarray:
    """(M, M) values of all pairs of patches."""
    array = np.asarray(values.numpy())
    return array if part.partners is None else dense(array, part.partners.numpy())


def _numbers(explanation: Explanation) -> range:
    return range(len(explanation.views))


def _compared(
    model: Model, explanation: Explanation, view: int, indices: list[int], device: str
) -> Comparison:
    """One view compared with some prototypes, as `expert.comparison.compare_images` does with all.

    The only place here that calls the network.
    """
    import torch

    network, shown = model.network, explanation.views[view]
    where = choose_device(device)
    with torch.inference_mode(), one_thread():
        pixels = np.array(shown.image)  # a copy: torch needs it writable
        if explanation.head_size is not None:
            pixels = with_rim(pixels, explanation.head_size.circumference_mm)
        features = features_of(network, pixels[None], where)
        latents, target = (
            part[indices].to(features) for part in network.prototypes_for_plane(view)
        )
        mass = torch.from_numpy(np.array(shown.mass)).to(features)[None]
        return network.match_patches(features, latents, mass, target)
