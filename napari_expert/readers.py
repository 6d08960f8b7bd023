"""Read files dropped on napari: heads (NIfTI, NRRD, DICOM), models, saved explanations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

LayerData = tuple[Any, ...]
Reader = Callable[[str | Sequence[str]], list[LayerData]]
ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr")
NO_LAYER: list[LayerData] = [(None,)]
"""Returned by a reader that adds no layer (npe2's documented contract)."""
START = 65536
"""Bytes that are enough to recognise a model or a saved explanation."""


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Find the reader for heads, models and explanations.

    Parameters
    ----------
    path : str or sequence of str
        File, DICOM folder, or several of them.

    Returns
    -------
    callable or None
        None for other files.
    """
    paths = [path] if isinstance(path, str) else list(path)
    kinds = {_kind(Path(one)) for one in paths}
    if kinds == {"head"}:
        return read
    if kinds in ({"model"}, {"explanation"}):
        return show
    return None


def _kind(path: Path) -> Literal["head", "model", "explanation"] | None:
    name = path.name.lower()
    if name.endswith(ENDINGS) or (path.is_dir() and _is_dicom(path)):
        return "head"
    if name.endswith(".safetensors") and _is_model(path):
        return "model"
    if name.endswith(".json") and _is_explanation(path):
        return "explanation"
    return None


def _is_dicom(folder: Path) -> bool:
    # A DICOM file has its mark at byte 128; the first files of a folder are enough.
    for file in sorted(p for p in folder.iterdir() if p.is_file())[:5]:
        with file.open("rb") as stream:
            if stream.read(132)[128:] == b"DICM":
                return True
    return False


def _is_model(path: Path) -> bool:
    # The header, after its length in 8 bytes, is JSON and has our document. If it is not JSON, the
    # file is damaged, and the panel says so.
    header = _start(path)[8:]
    return b'"expert"' in header or not header.startswith(b"{")


def _is_explanation(path: Path) -> bool:
    from expert.schema import RESEARCH_USE

    start = _start(path)
    return b'"schema_version"' in start and RESEARCH_USE.encode() in start


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(START)
    except OSError:
        return b""


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Read images as layers in the radiological convention, in mm.

    Parameters
    ----------
    path : str or sequence of str
        File, DICOM folder, or several of them.

    Returns
    -------
    list of tuple
        Data, arguments and type of each layer.

    Raises
    ------
    expert.errors.InputError
        A file cannot be read.
    """
    from expert.imaging.volume import read_volume
    from napari_expert.layer_geometry import layer_arguments

    out: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        data, arguments = layer_arguments(read_volume(one))
        name = Path(one).name
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        arguments |= {"name": name, "colormap": "gray"}
        if data.ndim == 3:
            arguments["contrast_limits"] = window(data)
        out.append((data, arguments, "image"))
    return out


def window(data: np.ndarray) -> tuple[float, float]:
    """Grey values of a scan that become black and white: without its few brightest voxels.

    By the whole range, one bright vessel makes a head dark.

    Parameters
    ----------
    data : (z, y, x) ndarray

    Returns
    -------
    tuple of float
        The smallest value, and the 99.5th percentile of the values above the mean.
    """
    sample = data[tuple(slice(None, None, max(1, n // 96)) for n in data.shape)]
    sample = sample[np.isfinite(sample)]
    bright = sample[sample > sample.mean()] if sample.size else sample
    if not bright.size:  # constant
        return 0.0, 1.0
    return float(sample.min()), float(np.percentile(bright, 99.5))


def show(path: str | Sequence[str]) -> list[LayerData]:
    """Open a model or a saved explanation in the panel.

    A file that cannot be used is reported in a notification and changes nothing: napari would wrap
    an error that is raised here into a paragraph about plugins.

    Parameters
    ----------
    path : str or sequence of str
        Model or explanation, or several of them.

    Returns
    -------
    list of tuple
        `NO_LAYER`.

    Raises
    ------
    expert.errors.InputError
        There is no window.
    """
    import napari
    from napari.utils.notifications import show_error

    from expert.errors import ExpertError, InputError
    from napari_expert.actions import panel_of

    viewer = napari.current_viewer()
    for one in [path] if isinstance(path, str) else path:
        kind = _kind(Path(one))
        if viewer is None:
            use = "expert.load_model" if kind == "model" else "expert.Explanation.load"
            raise InputError(
                f"{Path(one).name} is not an image; it opens in napari's window only. In a "
                f"program, read it with {use}."
            )
        panel = panel_of(viewer)
        assert panel is not None
        try:
            if kind == "model":
                panel.input.choose_model(one)
            else:
                panel.open_explanation(one)
        except ExpertError as error:
            show_error(str(error))
    return NO_LAYER
