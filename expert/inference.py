"""`explain`: one volume, one explained prediction."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.bundle import Model
from expert.errors import ExpertError
from expert.explanation import (
    Explanation,
    Interval,
    Notice,
    PrototypeMatch,
    RegistrationSummary,
    View,
    ViewMatch,
)
from expert.familiarity import unlike_training
from expert.preparation import Prepared, prepare
from expert.schema import ImageReference, InputRecipe
from expert.volume import Volume

if TYPE_CHECKING:
    from expert.model import PrototypeRegressor

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class ViewsResult:
    """All views of one subject held against all prototypes, in double precision."""

    predictions: np.ndarray
    """(V,) label units."""
    fallbacks: np.ndarray
    """(V,) bool."""
    view_shares: np.ndarray
    """(V, P) rows sum to 1."""
    distances: np.ndarray
    """(V, P) label units."""
    mass: np.ndarray
    """(V, M) rows sum to 1."""
    flow: np.ndarray
    """(V, P, M, M)."""
    cost: np.ndarray
    """(V, P, M, M)."""
    marginal_error: np.ndarray
    """(V, P)."""
    scale: float
    radius: float
    together: tuple[float, bool, np.ndarray] | None = None
    """Prediction, fallback and shares (P,) by the mean distances, where prototypes show every view;
    else None."""

    @property
    def prediction(self) -> float:
        """By the mean distances where prototypes show every view, else the mean of the views'
        predictions; label units."""
        return float(self.predictions.mean()) if self.together is None else self.together[0]

    @property
    def shares(self) -> np.ndarray:
        """(P,) share of each prototype in the prediction; sums to 1."""
        return (
            np.asarray(self.view_shares.mean(axis=0)) if self.together is None else self.together[2]
        )

    @property
    def mean_distances(self) -> np.ndarray:
        """(P,) label units."""
        return np.asarray(self.distances.mean(axis=0))

    @property
    def nearest_distance(self) -> float:
        """Of the prototype that is nearest on average, label units."""
        return float(self.mean_distances.min())

    @property
    def in_radius(self) -> int:
        """Prototypes within the radius in at least one view, or by their mean distance where that
        decides."""
        near = (
            self.distances <= self.radius
            if self.together is None
            else self.mean_distances[None] <= self.radius
        )
        return int(near.any(axis=0).sum())

    @property
    def covered(self) -> bool:
        """Whether a prototype lies within the radius in every view, or by its mean distance where
        that decides."""
        nearest = self.distances.min(axis=1) if self.together is None else self.mean_distances.min()
        return bool(np.all(nearest <= self.radius))

    @property
    def fallback(self) -> bool:
        """Whether any view, or all of them together, found no prototype in radius."""
        return bool(self.fallbacks.any()) if self.together is None else self.together[1]


def choose_device(name: str) -> str:
    """A torch device by what the user calls it.

    Parameters
    ----------
    name : "auto" for a graphics card where there is one, "cpu", "cuda" or "mps"

    Raises
    ------
    ExpertError
        This computer has no such device.
    """
    import torch

    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there.get(name, False):
        raise ExpertError(
            f"This computer has no device '{name}': choose one of auto, "
            f"{', '.join(d for d in there if there[d])}."
        )
    return name


def compare_views(
    model: Model,
    images: np.ndarray,
    content: np.ndarray,
    progress: Callable[[float], None] | None = None,
    device: str = "cpu",
) -> ViewsResult:
    """Hold prepared views against the model's prototypes: `compare_images` with the model's
    network."""
    return compare_images(model.network, images, content, progress, device)


def compare_images(
    network: PrototypeRegressor,
    images: np.ndarray,
    content: np.ndarray,
    progress: Callable[[float], None] | None = None,
    device: str = "cpu",
) -> ViewsResult:
    """Hold prepared views against a network's prototypes.

    Parameters
    ----------
    network : in evaluation mode, e.g. `Model.network` or that of a fold
    images : (V, *shape) 0 to 255; all explained planes in their order where prototypes show them
    content : (V, *shape) 0 to 255
    progress : called with 0 to 1 between the views; may raise
    device : where the backbone runs, see `choose_device`; matching is done on the CPU, in double
        precision

    Returns
    -------
    ViewsResult

    Source: Hesse et al., WACV 2024; the views are averaged as the issue of several slices demands.
    """
    import torch

    from expert.model import weighted_prediction

    radius = network.architecture.radius
    where = choose_device(device)
    backbone = network.backbone.to(where)
    collected = []
    with torch.inference_mode():
        labels = network.prototype_labels.double()
        for n in range(len(images)):
            # View by view: a bounded wait before a cancel, and no result depends on what else is in
            # a batch.
            pixels = (
                torch.from_numpy(np.ascontiguousarray(images[n : n + 1])).float()[:, None] / 255
            )
            mass = network.image_mass(
                torch.from_numpy(np.ascontiguousarray(content[n : n + 1])).float() / 255
            )
            comparison = network.compare(backbone(pixels.to(where)).cpu().double(), mass, n)
            outcome = weighted_prediction(
                comparison.distance, labels, radius, network.architecture.weights
            )
            shares = outcome.weights / outcome.weights.sum(dim=1, keepdim=True)
            parts = (
                outcome.prediction,
                outcome.fallback,
                shares,
                comparison.distance,
                mass,
                comparison.flow,
                comparison.cost,
                comparison.marginal_error,
            )
            collected.append([part[0].numpy() for part in parts])
            if progress is not None:
                progress((n + 1) / len(images))
    stacked = [np.stack(column) for column in zip(*collected, strict=True)]
    together = None
    if network.architecture.planes > 1:
        with torch.inference_mode():
            mean = torch.from_numpy(stacked[3].mean(axis=0, keepdims=True))
            whole = weighted_prediction(mean, labels, radius, network.architecture.weights)
        weights = whole.weights[0].numpy()
        together = float(whole.prediction), bool(whole.fallback), weights / weights.sum()
    return ViewsResult(
        predictions=stacked[0],
        fallbacks=stacked[1],
        view_shares=stacked[2],
        distances=stacked[3],
        mass=stacked[4],
        flow=stacked[5],
        cost=stacked[6],
        marginal_error=stacked[7],
        scale=float(network.scale.detach()),
        radius=radius,
        together=together,
    )


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
    model : from `expert.load_model`
    volume : from `expert.read_volume`
    top : prototypes to explain in full, by share; at least 1
    images : look up the prototypes' images; without, predictions are the same and sooner there
    data : folder that holds the data set of a model whose prototype images are kept by reference
    device : where the network runs: "cpu", "cuda", "mps", or "auto" for a graphics card where there
        is one
    progress : called with a stage ("register", "features", "match") and a fraction 0 to 1; may
        raise `expert.errors.Cancelled`, which comes out of this call

    Returns
    -------
    Explanation

    Raises
    ------
    InputError
        The volume does not fit the model, or holds no brain.

    Source: Hesse et al., WACV 2024.
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
        warnings=_warnings(model, volume, prepared, result, prototypes),
        prior=info.architecture.prior,
        guide=info.architecture.guide > 0,
        input_sha256=volume.fingerprint(),
        model_name=info.name,
        model_version=info.version,
        model_sha256=model.sha256,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Versions of what computed a result."""
    names = ("napari-expert", "torch", "POT", "monai", "SimpleITK", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


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


def prototype_image(
    model: Model, index: int, data: str | Path | None = None
) -> tuple[np.ndarray | None, str]:
    """A prototype's image, from the model or from where its reference leads.

    Returns
    -------
    image, message : (*shape) uint8 and "", or None and how to get the image; (V, *shape) where
        prototypes show every view
    """
    from expert.datasets import find_reference

    images = model.prototype_images
    if images is not None:
        return np.asarray(images[index]), ""
    reference = model.info.prototypes[index].reference
    if reference is None:
        return None, "This model holds no image of this prototype."
    folders = () if data is None else (Path(data),)
    path, message = find_reference(reference, folders)
    if path is None:
        return None, message
    try:
        return _render(path, reference, model.info.input, model.info.architecture.planes > 1), ""
    except ExpertError:  # its message may name a path of this computer: that stays here
        return (
            None,
            (
                f"The image of prototype {index + 1} could not be read where it lies: get the "
                "data set again."
            ),
        )


def _render(
    path: Path, reference: ImageReference, recipe: InputRecipe, every_plane: bool
) -> np.ndarray:
    from expert.registration import Registration
    from expert.volume import read_volume

    registration = None
    if reference.template_to_subject is not None:
        registration = Registration.known(np.array(reference.template_to_subject))
    positions = None if reference.position_mm is None else (reference.position_mm,)
    volume = read_volume(path, pixel_size_mm=reference.pixel_size_mm)
    prepared = prepare(volume, recipe, positions_mm=positions, registration=registration)
    return np.asarray(prepared.images if every_plane else prepared.images[0])


def _shows(image: np.ndarray, prepared: Prepared) -> bool:
    """Whether a prototype's image is one of the prepared views, but for a grey value or two."""
    views = prepared.images[None] if image.ndim == prepared.images.ndim else prepared.images
    return any(np.abs(view.astype(int) - image.astype(int)).mean() < 1 for view in views)


def _warnings(
    model: Model,
    volume: Volume,
    prepared: Prepared,
    result: ViewsResult,
    prototypes: list[PrototypeMatch],
) -> tuple[Notice, ...]:
    info, unit = model.info, model.info.label.unit
    out = []
    if info.collapsed:
        out.append(
            Notice(code="collapsed_model", message=f"This model has collapsed: {info.collapsed}.")
        )
    if prepared.registration is not None and not prepared.registration.acceptable:
        out.append(Notice(code="poor_registration", message=prepared.registration.message))
    if prepared.incomplete:
        out.append(Notice(code="brain_incomplete", message=prepared.incomplete))
    quality = float("nan") if prepared.registration is None else prepared.registration.quality
    strange = unlike_training(info, prepared.images, prepared.content, quality, result)
    if strange:
        out.append(Notice(code="unlike_training", message=strange))
    same = [p.rank for p in prototypes if p.image is not None and _shows(p.image, prepared)]
    if same:
        out.append(
            Notice(
                code="training_image",
                message=(
                    f"This image is itself prototype #{same[0]}: the model was trained on it, "
                    "and is farther off for others."
                ),
            )
        )
    if result.fallback:
        views = int(result.fallbacks.sum())
        where = (
            f"in {views} of {len(result.fallbacks)} views: there"
            if result.together is None
            else "on average of the views"
        )
        out.append(
            Notice(
                code="no_prototype_in_radius",
                message=(
                    f"No prototype within {result.radius:g} {unit} {where}, the nearest "
                    "prototype's label is the answer."
                ),
            )
        )
    if volume.ndim == 3 and volume.space == "unknown":
        out.append(
            Notice(
                code="orientation_unknown",
                message=(
                    "Orientation unknown: the image does not say which side is left, so left "
                    "and right may be swapped."
                ),
            )
        )
    if not volume.spacing_known:
        out.append(
            Notice(
                code="spacing_unknown",
                message=(
                    "Pixel size unknown: the image was fitted into the frame, its size is unseen."
                ),
            )
        )
    spread = float(np.ptp(result.predictions))
    if info.calibration is not None and spread > 2 * info.calibration.half_width:
        out.append(
            Notice(
                code="views_disagree",
                message=(
                    f"The views disagree: their predictions differ by up to {spread:.1f} {unit}."
                ),
            )
        )
    if any(
        p.image is None and p.image_message and "not asked" not in p.image_message
        for p in prototypes
    ):
        missing = next(p.image_message for p in prototypes if p.image is None)
        out.append(Notice(code="prototype_image_missing", message=missing))
    return tuple(out)
