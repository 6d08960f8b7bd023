"""`explain`: one volume in, one explained prediction out."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np

from expert.comparison import ViewsResult, compare_views
from expert.comparison import choose_device as choose_device  # its former place
from expert.comparison import compare_images as compare_images  # its former place
from expert.datasets.average_images import ShownImage, shown_image
from expert.errors import ExpertError, RefusedError
from expert.evidence.patch_evidence import Evidence
from expert.evidence.tissue_norms import LABELS, NORMS
from expert.evidence.wording import summary
from expert.explanation import (
    Explanation,
    HeadSize,
    PrototypeMatch,
    RegistrationSummary,
    View,
    ViewMatch,
)
from expert.imaging.preprocessing import Prepared, prepare
from expert.imaging.region_atlas import load_atlas
from expert.imaging.registration import Registration, load_registration
from expert.imaging.tissue_values import load_tissue_values
from expert.imaging.volume import Volume
from expert.model_file import Model, versions
from expert.notices import NOT_REQUESTED, Case, collect_notices
from expert.prototype_matching import prototype_match
from expert.schema import InputSettings

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
    registration: Registration | None = None,
    force: bool = False,
    cache: ExplainCache | None = None,
) -> Explanation:
    """Predict the label of an image, with the prototypes and patches the prediction is made of.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    volume : Volume
        From `expert.read_volume`.
    top : int
        Number of prototypes to explain in full, by weight; at least 1.
    images : bool
        Whether to look up the images of the prototypes. Where one is not available, the average of
        people of its label is shown, if the model contains averages. The prediction is the same
        without images, and available sooner.
    data : path-like, optional
        Folder of the data set, for models that refer to their prototypes' images.
    device : {"cpu", "cuda", "mps", "auto"}
        Where the network runs; "auto" uses a graphics card if there is one.
    progress : callable, optional
        Called with a stage ("register", "features", "match") and a fraction, 0 to 1. It may raise
        `expert.errors.Cancelled`, which is passed on to the caller.
    registration : Registration, optional
        A known registration of this head; by default it is computed.
    force : bool
        Predict an image that is refused all the same; the reason is in `Explanation.forced`.
    cache : ExplainCache, optional
        What earlier calls computed of the same image is used again; the result is the same.

    Returns
    -------
    Explanation

    Raises
    ------
    RefusedError
        The image must not be predicted, for example because its registration failed; not with
        `force`.
    InputError
        The volume does not fit the model, or contains no brain.
    ExpertError
        `top` is below 1, or the device does not exist.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858.
    """
    if top < 1:
        raise ExpertError(f"The number of prototypes to explain must be at least 1, not {top}.")

    def report(stage: str, fraction: float) -> None:
        if progress is not None:
            progress(stage, fraction)

    cache = cache or ExplainCache()
    report("register", 0.0)
    prepared = cache.prepare(volume, model.info.input, registration, report)
    if prepared.refusal and not force:
        raise RefusedError(" ".join((prepared.refusal, *volume.doubts)))
    report("features", 0.0)
    result = cache.compare(model, prepared, device, lambda f: report("features", f))
    report("match", 0.0)
    # Prototypes of equal weight (often 0) are ranked by their distance.
    order = np.lexsort((result.mean_distances, -result.shares))[:top]
    prototypes = []
    for rank, index in enumerate(order.tolist(), 1):
        nothing = ShownImage(None, None, NOT_REQUESTED)
        shown = shown_image(model, index, data) if images else nothing
        prototypes.append(_prototype_match(model, result, rank, index, shown))
        report("match", rank / len(order))
    found = _explanation(Case(model, volume, prepared, result, tuple(prototypes)))
    return found.model_copy(update={"summary": summary(Evidence.of(found))})


class ExplainCache:
    """What `explain` computed of the last image, for another call with the same image.

    The registration serves every model; the comparison with the prototypes serves calls with the
    same model and another `top`. About 50 MB for `brain-age`.
    """

    def __init__(self) -> None:
        self._prepared: tuple[tuple[object, ...], dict[str, Prepared]] | None = None
        self._compared: tuple[Prepared, str, str, ViewsResult] | None = None

    def clear(self) -> None:
        """Forget the image."""
        self._prepared = self._compared = None

    def prepare(
        self,
        volume: Volume,
        settings: InputSettings,
        registration: Registration | None = None,
        progress: Progress | None = None,
    ) -> Prepared:
        """As `expert.imaging.preprocessing.prepare`, without what was computed before."""
        if registration is not None:
            return prepare(volume, settings, registration=registration, progress=progress)
        last, known, image = self._prepared, {}, _key(volume)
        if last is not None and last[0] == image:
            known = last[1]
        key = settings.model_dump_json()
        if key not in known:
            registered = [one.registration for one in known.values() if one.registration]
            known[key] = prepare(
                volume, settings, registration=(*registered, None)[0], progress=progress
            )
            self._prepared = image, known
        return known[key]

    def compare(
        self,
        model: Model,
        prepared: Prepared,
        device: str = "cpu",
        progress: Callable[[float], None] | None = None,
    ) -> ViewsResult:
        """As `expert.comparison.compare_views`, if it is not the last one again."""
        last = self._compared
        if last is not None and last[0] is prepared and last[1:3] == (model.sha256, device):
            return last[3]
        result = compare_views(model, prepared.images, prepared.content, progress, device)
        self._compared = prepared, model.sha256, device, result
        return result


def _key(volume: Volume) -> tuple[object, ...]:
    """Voxels and places of an image, which may be changed where it is."""
    return volume.fingerprint(), volume.affine.tobytes(), volume.space, volume.spacing_known


def warm_up(model: Model, progress: Progress | None = None) -> None:
    """Load what `explain` needs with a model, so that the first image takes less time.

    Parameters
    ----------
    model : Model
    progress : callable, optional
        Called with "load" and a fraction between the steps; it may raise
        `expert.errors.Cancelled`.
    """
    steps: list[Callable[[], object]] = [lambda: import_module("torch"), lambda: model.network]
    if model.info.input.space == "mni":
        steps += [load_registration, load_tissue_values, load_atlas]
    elif model.info.input.space == "ellipse":
        steps.append(lambda: import_module("expert.imaging.outline_network").load_outline_network())
    for number, step in enumerate(steps):
        if progress is not None:
            progress("load", number / len(steps))
        step()


def _explanation(case: Case) -> Explanation:
    model, prepared, result = case.model, case.prepared, case.result
    info = model.info
    return Explanation(
        forced=case.forced,
        label_name=info.label.name,
        unit=info.label.unit,
        prediction=result.prediction,
        range_end=case.range_end,
        interval=case.interval,
        together=result.planes_combined,
        fallback=result.fallback,
        nearest_distance=result.nearest_distance,
        prototypes_in_radius=result.in_radius,
        prototypes=case.prototypes,
        labels=model.network.prototype_labels.double().numpy(),
        source_labels=np.array([p.source_label for p in info.prototypes], dtype=float),
        distances=result.mean_distances,
        shares=result.shares,
        radius=result.radius,
        views=tuple(_view(prepared, result, n) for n in range(len(prepared.images))),
        grid=info.grid,
        registration=_registration_summary(prepared),
        head_size=_head_size(prepared),
        warnings=collect_notices(case),
        prior=info.architecture.prior,
        guide=info.architecture.guide > 0,
        coordinates=info.architecture.coordinates,
        confined=info.architecture.backbone == "histogram",
        norms={name: model.tensors[name] for name in (NORMS, LABELS) if name in model.tensors},
        input_sha256=case.volume.fingerprint(),
        model_name=info.name,
        model_version=info.version,
        model_sha256=model.sha256,
        versions=versions(),
    )


def _registration_summary(prepared: Prepared) -> RegistrationSummary | None:
    registration = prepared.registration
    if registration is None:
        return None
    return RegistrationSummary(
        template_to_subject=registration.template_to_subject,
        quality=registration.quality,
        acceptable=registration.acceptable,
    )


def _head_size(prepared: Prepared) -> HeadSize | None:
    outline = prepared.outline
    if outline is None:
        return None
    axes = 2 * outline.semi_major, 2 * outline.semi_minor
    return HeadSize(circumference_mm=outline.circumference, axes_mm=axes)


def _view(prepared: Prepared, result: ViewsResult, n: int) -> View:
    return View(
        name=prepared.names[n],
        position_mm=prepared.positions_mm[n],
        image=prepared.shown[n],
        affine=prepared.affines[n],
        mass=result.mass[n],
        prediction=float(result.predictions[n]),
        fallback=bool(result.fallbacks[n]),
        distances=result.distances[n],
        shares=result.view_shares[n],
        contributions=result.contributions[n],
    )


def _prototype_match(
    model: Model,
    result: ViewsResult,
    rank: int,
    index: int,
    shown: ShownImage,
) -> PrototypeMatch:
    plans = [result.plan(n, index) for n in range(len(result.distances))]
    views = tuple(
        ViewMatch(
            distance=float(result.distances[n, index]),
            share=float(result.view_shares[n, index]),
            flow=plans[n][0],
            cost=plans[n][1],
            scale=result.scale,
            marginal_error=float(result.marginal_error[n, index]),
        )
        for n in range(len(result.distances))
    )
    share, distance = float(result.shares[index]), float(result.mean_distances[index])
    return prototype_match(model, rank, index, share, distance, views, shown)
