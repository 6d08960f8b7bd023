"""Losses of the training: on the distances, on the prediction, and on the patches.

References
----------
.. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
       arXiv:2306.09858.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from expert.transport import grid_indices, pairwise_distance


def metric_loss(
    distance: Tensor,
    labels: Tensor,
    prototype_labels: Tensor,
    sigma: float = 1.0,
    leak: float = 0.05,
    others: Tensor | None = None,
) -> Tensor:
    """Distances are trained to equal label differences, weighted towards similar labels.

    ``sum(w |d - |y - l||) / sum(w)`` with ``w = exp(-((y - l) / sigma)^2 / 2) + leak``.

    Parameters
    ----------
    distance : (B, P) Tensor
        Image distances, label units.
    labels : (B,) Tensor
        The images' labels.
    prototype_labels : (P,) Tensor
    sigma : float
        Standard deviation of the weight, label units.
    leak : float
        Least weight of a pair.
    others : (B, P) bool Tensor, optional
        Pairs that are used; by default all.

    Returns
    -------
    () Tensor
        Label units; the weights have no gradient.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858, metric learning loss.
    """
    difference = (labels[:, None] - prototype_labels[None, :]).abs()
    weight = (torch.exp(-0.5 * (difference / sigma) ** 2) + leak).detach()
    if others is not None:
        weight = weight * others
    return (weight * (distance - difference).abs()).sum() / weight.sum()


def consistency_loss(features: Tensor, features_flipped: Tensor, margin: float = 0.1) -> Tensor:
    """Train a patch to be similar to itself in the mirrored image, not to its mirror place.

    Parameters
    ----------
    features : (B, C, *grid) Tensor
        Of the images.
    features_flipped : (B, C, *grid) Tensor
        Of the same images mirrored along the last axis (left-right).
    margin : float
        Of the triplet.

    Returns
    -------
    () Tensor
        Triplet loss of the patches that are not their own mirror place; mean over patches, then
        images.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858, patch consistency loss.
    """
    columns = features.shape[-1]
    positive = (features - features_flipped.flip(-1)).square().sum(dim=1).clamp_min(1e-12).sqrt()
    negative = (features - features_flipped).square().sum(dim=1).clamp_min(1e-12).sqrt()
    moved = torch.arange(columns, device=features.device) != torch.arange(
        columns - 1, -1, -1, device=features.device
    )
    triplet = torch.relu(positive - negative + margin)[..., moved]
    return triplet.flatten(1).mean(dim=1).mean()


def alignment_loss(
    features: Tensor,
    other: Tensor,
    mass: Tensor,
    temperature: float = 0.1,
    width: float = 0.5,
    mirrors: Sequence[tuple[int, ...]] = ((),),
) -> Tensor:
    """Patches at the same place of two registered images are trained to have similar features.

    Not part of the published method. For each patch i of an image: cross-entropy between the
    softmax over the other image's patches j of ``-||f_i - g_j|| / temperature`` and a Gaussian of
    `width` patches around i.

    Parameters
    ----------
    features, other : (B, C, *grid) Tensor
        Two *different* subjects in the same template space, row by row.
    mass : (B, M) Tensor
        Mass of the patches of `features`; empty ones do not count.
    temperature : float
        Feature distance.
    width : float
        Standard deviation of the target, in patches.
    mirrors : sequence of tuple of int
        Axes along which the other image may be mirrored; for each image, the best one counts.

    Returns
    -------
    () Tensor
        Mean over patches by mass, then images; nats.
    """
    places = grid_indices(tuple(features.shape[2:]), features).expand(len(features), -1, -1)
    each = [
        _match_loss(features, other.flip(axes), places, mass, temperature, width)
        for axes in mirrors
    ]
    return torch.stack(each).amin(0).mean()


def equivariance_loss(
    features: Tensor,
    moved: Tensor,
    places: Tensor,
    mass: Tensor,
    temperature: float = 0.1,
    width: float = 0.5,
) -> Tensor:
    """Patches are trained to keep their features in a transformed copy of their own image.

    Not part of the published method, whose consistency loss uses mirrored images only. It is the
    cross-entropy of `alignment_loss`, with a Gaussian around the place each patch has in the copy
    (rotated, shifted, mirrored, with other grey values).

    Parameters
    ----------
    features, moved : (B, C, *grid) Tensor
        Of the images and of their copies.
    places : (B, M, axes) Tensor
        Place of each patch in the copy, see `expert.training.augmentation.new_places`.
    mass : (B, M) Tensor
        Mass of the patches of `features`; patches outside the copy do not count.
    temperature : float
        Feature distance.
    width : float
        Standard deviation of the target, in patches.

    Returns
    -------
    () Tensor
        Mean over patches by mass, then images; nats.
    """
    last = torch.tensor(features.shape[2:], dtype=places.dtype, device=places.device) - 1
    inside = ((places >= -0.5) & (places <= last + 0.5)).all(-1)
    weight = (mass * inside).clamp_min(1e-9)
    return _match_loss(features, moved, places, weight, temperature, width).mean()


def _match_loss(
    features: Tensor, other: Tensor, places: Tensor, mass: Tensor, temperature: float, width: float
) -> Tensor:
    """(B,) cross-entropy of the match of each patch in the other grid.

    The target is a Gaussian around the place (B, M, axes) of the patch in that grid.
    """
    cells = grid_indices(tuple(other.shape[2:]), other)[None]
    target = torch.softmax(-0.5 * (pairwise_distance(places, cells) / width) ** 2, dim=-1)
    f, g = features.flatten(2).transpose(1, 2), other.flatten(2).transpose(1, 2)
    logits = -pairwise_distance(f, g) / temperature
    cross = -(target * torch.log_softmax(logits, dim=-1)).sum(-1)
    return (mass * cross).sum(-1) / mass.sum(-1)


def prediction_loss(
    distance: Tensor,
    labels: Tensor,
    prototype_labels: Tensor,
    radius: float,
    others: Tensor | None = None,
) -> Tensor:
    """Mean absolute error of the prediction.

    Not part of the published method, which has no direct loss on the prediction. The weights are
    ``softmax(-d^2 / (2 (radius/3)^2))``: within the radius these are the published weights; far
    from every prototype they approach 1 for the nearest one, and the division is never 0/0.

    Parameters
    ----------
    distance : (B, P) Tensor
        Label units.
    labels : (B,) Tensor
    prototype_labels : (P,) Tensor
    radius : float
        Label units.
    others : (B, P) bool Tensor, optional
        Prototypes that are used for each image, at least one; by default all.

    Returns
    -------
    () Tensor
        Label units.
    """
    exponent = -(distance.clamp_min(0) ** 2) / (2 * (radius / 3) ** 2)
    if others is not None:
        exponent = exponent.masked_fill(~others, -torch.inf)
    weights = torch.softmax(exponent, dim=1)
    return (weights @ prototype_labels - labels).abs().mean()
