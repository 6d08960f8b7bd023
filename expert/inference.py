"""`explain`: one volume, one explained prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.comparison import ViewsResult, compare_views
from expert.datasets.prototype_images import prototype_image
from expert.errors import ExpertError
from expert.explanation import (
    Explanation,
    Interval,
    PrototypeMatch,
    RegistrationSummary,
    View,
    ViewMatch,
)
from expert.imaging.preprocessing import Prepared, prepare
from expert.imaging.volume import Volume
from expert.model_file import Model, versions
from expert.notices import collect_notices

if TYPE_CHECKING:
    pass

Progress = Callable[[str, float], None]


def explain(
    model: Model,
    volume: Volume,
    *,
    top: int = 5,
    images: bool = True,
    data: str | Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Explanation:
    """Predict, and say why.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    volume : Volume
        From `expert.read_volume`.
    top : int
        Prototypes to explain in full, by share; at least 1.
    images : bool
        Look up the prototypes' images; without, predictions are the same and sooner there.
    data : path-like, optional
        Folder that holds the data set of a model whose prototype images are kept by reference.
    device : str
        Where the network runs: "cpu", "cuda", "mps", or "auto" for a graphics card where there is
        one.
    progress : Progress, optional
        Called with a stage ("register", "features", "match") and a fraction 0 to 1; may raise
        `expert.errors.Cancelled`, which comes out of this call.

    Returns
    -------
    Explanation

    Raises
    ------
    InputError
        The volume does not fit the model, or holds no brain.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858.
    """
    if top < 1:
        raise ExpertError(f"At least one prototype must be asked for, not {top}.")

    def tell(stage: str, fraction: float) -> None:
        if progress is not None:
            progress(stage, fraction)

    tell("register", 0.0)
    prepared = prepare(volume, model.info.input, progress=tell)
    tell("features", 0.0)
    _ = model.network
    result = compare_views(
        model, prepared.images, prepared.content, lambda f: tell("features", f), device
    )
    tell("match", 0.0)
    # Where one prototype holds all the weight, the next in rank are the next nearest.
    order = np.lexsort((result.mean_distances, -result.shares))[:top]
    prototypes = []
    for rank, index in enumerate(order, 1):
        prototypes.append(_match(model, prepared, result, rank, int(index), images, data))
        tell("match", rank / len(order))
    info, calibration = model.info, model.info.calibration
    prediction = result.prediction
    interval = None
    if calibration is not None:
        half = calibration.half_width
        interval = Interval(
            lower=prediction - half, upper=prediction + half, level=calibration.level
        )
    registration = prepared.registration
    return Explanation(
        label_name=info.label.name,
        unit=info.label.unit,
        prediction=prediction,
        interval=interval,
        together=result.together is not None,
        fallback=result.fallback,
        nearest_distance=result.nearest_distance,
        prototypes_in_radius=result.in_radius,
        prototypes=tuple(prototypes),
        labels=model.network.prototype_labels.double().numpy(),
        source_labels=np.array([p.source_label for p in info.prototypes], dtype=float),
        distances=result.mean_distances,
        shares=result.shares,
        radius=result.radius,
        views=tuple(
            View(
                name=prepared.names[n],
                position_mm=prepared.positions_mm[n],
                image=prepared.images[n],
                affine=prepared.affines[n],
                mass=result.mass[n],
                prediction=float(result.predictions[n]),
                fallback=bool(result.fallbacks[n]),
                distances=result.distances[n],
                shares=result.view_shares[n],
                contributions=result.scale * (result.flow[n] * result.cost[n]).sum(axis=-1),
            )
            for n in range(len(prepared.images))
        ),
        grid=info.grid,
        registration=None
        if registration is None
        else RegistrationSummary(
            template_to_subject=registration.template_to_subject,
            quality=registration.quality,
            acceptable=registration.acceptable,
        ),
        warnings=collect_notices(model, volume, prepared, result, prototypes),
        prior=info.architecture.prior,
        guide=info.architecture.guide > 0,
        input_sha256=volume.fingerprint(),
        model_name=info.name,
        model_version=info.version,
        model_sha256=model.sha256,
        versions=versions(),
    )


def _match(
    model: Model,
    prepared: Prepared,
    result: ViewsResult,
    rank: int,
    index: int,
    images: bool,
    data: str | Path | None,
) -> PrototypeMatch:
    info = model.info.prototypes[index]
    image, message = (
        prototype_image(model, index, data) if images else (None, "The images were not asked for.")
    )
    return PrototypeMatch(
        rank=rank,
        index=index,
        label=info.label,
        source_label=info.source_label,
        share=float(result.shares[index]),
        distance=float(result.mean_distances[index]),
        reference=info.reference,
        image=image,
        image_message=message,
        position_mm=info.reference.position_mm if info.reference else None,
        views=tuple(
            ViewMatch(
                distance=float(result.distances[n, index]),
                share=float(result.view_shares[n, index]),
                flow=result.flow[n, index],
                cost=result.cost[n, index],
                scale=result.scale,
                marginal_error=float(result.marginal_error[n, index]),
            )
            for n in range(len(prepared.images))
        ),
    )
