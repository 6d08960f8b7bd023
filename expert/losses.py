"""What the network is trained on: a metric loss on distances, consistency of patches, alignment of
patches.

References
----------
.. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
       arXiv:2306.09858.
"""

from __future__ import annotations

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
    """Distances shall be label differences, above all for prototypes of a similar label.

    Parameters
    ----------
    distance : (B, P) Tensor
        Image distances, label units.
    labels : (B,) Tensor
        The images' labels.
    prototype_labels : (P,) Tensor
    sigma : float
        Label units; how near a prototype's label must be to count in full.
    leak : float
        Weight that every pair keeps.
    others : (B, P) bool Tensor, optional
        Pairs that count; all if None.

    Returns
    -------
    () Tensor
        Weighted mean of ``|distance - |label difference||``, label units; the weights carry no
        gradient.

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
    """A patch shall look like its mirror image in the mirrored picture, and unlike what stands in
    its place there.

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
        Triplet loss over cells that are not their own mirror, mean over cells, then images.

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
    features: Tensor, other: Tensor, mass: Tensor, temperature: float = 0.1, width: float = 0.5
) -> Tensor:
    """Cells of two registered images shall find each other: same place, same feature.

    Not part of the published method. Cross-entropy, for each cell i of an image, between the
    softmax over the other image's cells of ``-||f_i - g_j|| / temperature`` and a Gaussian of
    `width` cells around i.

    Parameters
    ----------
    features, other : (B, C, *grid) Tensor
        Two *different* subjects in the same template space, row by row.
    mass : (B, M) Tensor
        Mass of the cells of `features`: empty cells do not count.
    temperature : float
        In feature distance.
    width : float
        Standard deviation of the target, in cells.

    Returns
    -------
    () Tensor
        Mean over cells by mass, then images; nats.
    """
    cells = grid_indices(tuple(features.shape[2:]), features)
    return _found(features, other, cells.expand(len(features), -1, -1), mass, temperature, width)


def equivariance_loss(
    features: Tensor,
    moved: Tensor,
    places: Tensor,
    mass: Tensor,
    temperature: float = 0.1,
    width: float = 0.5,
) -> Tensor:
    """Cells of an image shall find themselves where they went in its own turned, shifted, mirrored,
    re-graded copy.

    Not part of the published method, whose consistency loss knows the mirror image alone. The same
    cross-entropy as `alignment_loss`, with the cell's new place in the place of its own.

    Parameters
    ----------
    features, moved : (B, C, *grid) Tensor
        Of the images and of their copies.
    places : (B, M, axes) Tensor
        Where each cell went, see `expert.training.augmentation.new_places`.
    mass : (B, M) Tensor
        Mass of the cells of `features`; cells that left the picture do not count.

    Returns
    -------
    () Tensor
        Mean over cells by mass, then images; nats.
    """
    last = torch.tensor(features.shape[2:], dtype=places.dtype, device=places.device) - 1
    inside = ((places >= -0.5) & (places <= last + 0.5)).all(-1)
    return _found(features, moved, places, (mass * inside).clamp_min(1e-9), temperature, width)


def _found(
    features: Tensor, other: Tensor, places: Tensor, mass: Tensor, temperature: float, width: float
) -> Tensor:
    """Cross-entropy between the match of each cell in the other grid and a Gaussian around a place
    (B, M, axes) in it."""
    cells = grid_indices(tuple(other.shape[2:]), other)[None]
    target = torch.softmax(-0.5 * (pairwise_distance(places, cells) / width) ** 2, dim=-1)
    f, g = features.flatten(2).transpose(1, 2), other.flatten(2).transpose(1, 2)
    logits = -pairwise_distance(f, g) / temperature
    cross = -(target * torch.log_softmax(logits, dim=-1)).sum(-1)
    return ((mass * cross).sum(-1) / mass.sum(-1)).mean()


def prediction_loss(
    distance: Tensor,
    labels: Tensor,
    prototype_labels: Tensor,
    radius: float,
    others: Tensor | None = None,
) -> Tensor:
    """Mean absolute error of the weighted mean, through a softmax that is never 0/0.

    Not part of the published method (which has no direct loss on the prediction). Within the radius
    ``softmax(-d^2 / (2 (radius/3)^2))`` are the published weights; far from every prototype it goes
    over into the nearest.

    Parameters
    ----------
    distance : (B, P) Tensor
        Label units.
    labels : (B,) Tensor
    prototype_labels : (P,) Tensor
    radius : float
        Label units.
    others : (B, P) bool Tensor, optional
        Prototypes that count for each image, at least one; all if None.

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
