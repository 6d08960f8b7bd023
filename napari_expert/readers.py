"""Read files dropped on napari: heads (NIfTI, NRRD, FreeSurfer, DICOM), models, explanations."""

from __future__ import annotations

import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from types import FrameType

    import napari
    import napari.viewer

    from expert.errors import SeriesChoiceError

LayerData = tuple[Any, ...]
Reader = Callable[[str | Sequence[str]], list[LayerData]]
ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mgz", ".mgh")
"""Of files that are heads; others are recognised by their content."""
MOST_FOLDERS = 200
"""Subfolders that are searched for DICOM files."""
SERIES = "expert_series"
"""Key in a layer's metadata: `image_key` of the DICOM file that was opened."""
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
    if name.endswith(ENDINGS) or _is_image(path):
        return "head"
    if name.endswith(".safetensors") and _is_model(path):
        return "model"
    if name.endswith(".json") and _is_explanation(path):
        return "explanation"
    return None


def _is_image(path: Path) -> bool:
    """Whether the content is a DICOM file, folder or archive, or a pair of NIfTI or Analyze."""
    from expert.imaging.formats.recognition import beginning, is_dicom, is_nifti

    suffix = path.suffix.lower()
    if path.is_dir():
        return _contains_dicom(path)
    if suffix in (".hdr", ".img"):
        return is_nifti(beginning(path.with_suffix(".hdr")))
    if suffix == ".zip":
        return _zipped_dicom(path)
    return is_dicom(beginning(path, 132))


def _contains_dicom(folder: Path) -> bool:
    """Whether one of the first files of a folder or of its subfolders is DICOM."""
    from expert.imaging.formats.recognition import beginning, is_dicom

    for count, (root, folders, names) in enumerate(os.walk(folder)):
        folders.sort()
        files = [Path(root, name) for name in sorted(names) if not name.startswith(".")]
        if any(is_dicom(beginning(file, 132)) for file in files[:5]):
            return True
        if count >= MOST_FOLDERS:
            break
    return False


def _zipped_dicom(path: Path) -> bool:
    """Whether one of the first files of an archive is DICOM."""
    from expert.imaging.formats.recognition import is_dicom

    try:
        with zipfile.ZipFile(path) as archive:
            for entry in [one for one in archive.infolist() if not one.is_dir()][:20]:
                with archive.open(entry) as file:
                    if is_dicom(file.read(132)):
                        return True
    except (OSError, RuntimeError, zipfile.BadZipFile, NotImplementedError, zlib.error):
        pass
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


def read(path: str | Sequence[str], series: str | None = None) -> list[LayerData]:
    """Read images as layers in the radiological convention, in mm.

    Parameters
    ----------
    path : str or sequence of str
        File, DICOM folder, or several of them. Of several files of one DICOM series, the series
        is read once.
    series : str, optional
        Number or UID of the DICOM series, where there are several.

    Returns
    -------
    list of tuple
        Data, arguments and type of each layer. `NO_LAYER` if the user must choose a series: the
        panel then offers them.

    Raises
    ------
    expert.errors.InputError
        A file cannot be read.
    """
    from expert.errors import InputError, SeriesChoiceError
    from expert.imaging.dicom.series import image_key
    from expert.imaging.volume import read_volume
    from expert.untrusted.text import without_tags
    from napari_expert.layer_geometry import layer_arguments

    out: list[LayerData] = []
    opened = _open_series()
    for one in [path] if isinstance(path, str) else path:
        own = image_key(Path(one))
        if series is None and own is not None and own in opened:
            continue
        try:
            volume = read_volume(one, series=series)
        except SeriesChoiceError as error:
            if not _offered(one, error):
                raise
            continue
        except InputError as error:  # napari shows it as formatted text
            error.args = (without_tags(error),)
            raise
        data, arguments = layer_arguments(volume)
        if own is not None:
            opened.add(own)
            arguments["metadata"][SERIES] = own
        name = Path(one).name
        for ending in (*ENDINGS, ".dcm", ".ima", ".zip", ".hdr", ".img"):
            name = name.removesuffix(ending)
        arguments |= {"name": name, "colormap": "gray"}
        if data.ndim == 3:
            arguments["contrast_limits"] = window(data)
        out.append((data, arguments, "image"))
    return out or NO_LAYER


def _opening_viewer() -> napari.viewer.Viewer | None:
    """The viewer that reads a file now; None where there is no window.

    napari does not pass it to readers. With several windows it need not be the active one: a file
    may be dropped on the other. It is among the callers.
    """
    import napari
    from napari.viewer import Viewer

    frame: FrameType | None = sys._getframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, Viewer):
            return caller
        frame = frame.f_back
    return napari.current_viewer()


def _open_series() -> set[Any]:
    """The series of DICOM files that are open: napari opens many files one by one."""
    viewer = _opening_viewer()
    found = [] if viewer is None else [layer.metadata.get(SERIES) for layer in viewer.layers]
    return {one for one in found if one is not None}


def _offered(path: str, error: SeriesChoiceError) -> bool:
    """Offer the series in the panel; False where there is no window."""
    from napari_expert.actions import panel_of

    viewer = _opening_viewer()
    panel = None if viewer is None else panel_of(viewer)
    if panel is None:
        return False
    panel.input.series.offer(Path(path).name, error.choices, partial(read, path))
    return True


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
    from napari.utils.notifications import show_error

    from expert.errors import ExpertError, InputError
    from expert.untrusted.text import without_tags
    from napari_expert.actions import panel_of

    viewer = _opening_viewer()
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
            show_error(without_tags(error))
    return NO_LAYER
