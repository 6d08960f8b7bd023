"""Sample data: synthetic heads and a real one (File ▸ Open Sample ▸ ExPeRT)."""

from __future__ import annotations

from typing import Any

from napari_expert.layer_geometry import MODEL

LayerData = tuple[Any, dict[str, Any], str]


def _phantom(age: int) -> list[LayerData]:
    from expert.datasets.phantom import phantom
    from napari_expert.layer_geometry import layer_arguments

    data, arguments = layer_arguments(phantom(age, seed=900_000 + age))
    metadata = {**arguments["metadata"], MODEL: "phantom"}
    name = f"synthetic head, {age} years"
    return [(data, {**arguments, "metadata": metadata, "name": name, "colormap": "gray"}, "image")]


def phantom_30() -> list[LayerData]:
    """A synthetic head of 30 years."""
    return _phantom(30)


def phantom_55() -> list[LayerData]:
    """A synthetic head of 55 years."""
    return _phantom(55)


def phantom_80() -> list[LayerData]:
    """A synthetic head of 80 years."""
    return _phantom(80)


def ixi() -> list[LayerData]:
    """Real head of the IXI data set.

    It is downloaded if it is not on this computer; its licence is shown.

    Returns
    -------
    list of tuple
        Data, arguments and type of the layer.

    Raises
    ------
    expert.errors.InputError
        It is not on this computer and cannot be downloaded.
    """
    from napari.utils.notifications import show_info

    from expert.datasets.fetching import SOURCES, fetch_reference, public_address
    from expert.datasets.prototype_images import SAMPLE, SAMPLE_AGE, find_reference
    from expert.imaging.volume import read_volume
    from napari_expert.layer_geometry import layer_arguments

    path, _ = find_reference(SAMPLE)
    data, arguments = layer_arguments(read_volume(path or fetch_reference(SAMPLE)))
    licence = SOURCES["IXI"].licence
    about = {"source": public_address(SAMPLE), "licence": licence, "age_years": SAMPLE_AGE}
    show_info(
        f"{SAMPLE.subject}: {licence}. "
        "This head is in the training data of brain-age and of the IXI models."
    )
    metadata = {**arguments["metadata"], **about}
    name = f"{SAMPLE.subject}, {SAMPLE_AGE:.1f} years"
    return [(data, {**arguments, "metadata": metadata, "name": name, "colormap": "gray"}, "image")]
