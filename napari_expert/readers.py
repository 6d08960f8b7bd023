"""Files dropped on napari: heads (NIfTI, NRRD, DICOM) become layers, models and saved explanations
open in the panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

LayerData = tuple[Any, ...]
Reader = Callable[[str | Sequence[str]], list[LayerData]]
ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr")
NO_LAYER: list[LayerData] = [(None,)]
"""What a reader that did its work without a layer returns (npe2's documented contract)."""
GLANCE = 65536
"""Bytes that are enough to recognise a model or a saved explanation by how it begins."""


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for heads, models and explanations, or None for what is not one of ours.

    Parameters
    ----------
    path : file, DICOM folder, or several of them
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
    # A DICOM file has its mark at byte 128; one look at the first files of a folder is enough.
    for file in sorted(p for p in folder.iterdir() if p.is_file())[:5]:
        with file.open("rb") as stream:
            if stream.read(132)[128:] == b"DICM":
                return True
    return False


def _is_model(path: Path) -> bool:
    # The header, after its length in 8 bytes, is JSON and has our document. One that is no JSON is
    # damaged, and ours to say so.
    header = _start(path)[8:]
    return b'"expert"' in header or not header.startswith(b"{")


def _is_explanation(path: Path) -> bool:
    from expert.schema import RESEARCH_USE

    start = _start(path)
    return b'"schema_version"' in start and RESEARCH_USE.encode() in start


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(GLANCE)
    except OSError:
        return b""


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Image layers, drawn in the radiological convention, in mm.

    Raises
    ------
    expert.errors.InputError
        A file cannot be used; one sentence says why.
    """
    from expert.imaging.volume import read_volume
    from napari_expert.layer_geometry import layer_arguments

    out: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        data, arguments = layer_arguments(read_volume(one))
        name = Path(one).name
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        out.append((data, {**arguments, "name": name, "colormap": "gray"}, "image"))
    return out


def show(path: str | Sequence[str]) -> list[LayerData]:
    """Open the panel with a model chosen, or with a saved explanation on show; no layer is
    returned.

    A file that cannot be used is told in a notification and changes nothing: napari would wrap an
    error that is raised here into a paragraph about plugins.

    Raises
    ------
    expert.errors.InputError
        There is no window to open it in.
    """
    import napari
    from napari.utils.notifications import show_error

    from expert.errors import ExpertError, InputError
    from napari_expert.commands import panel_of

    viewer = napari.current_viewer()
    for one in [path] if isinstance(path, str) else path:
        kind = _kind(Path(one))
        if viewer is None:
            use = "expert.load_model" if kind == "model" else "expert.Explanation.load"
            raise InputError(
                f"{Path(one).name} is no image but opens in napari's window: in a program, "
                f"read it with {use}."
            )
        panel = panel_of(viewer)
        try:
            if kind == "model":
                panel.choose_model(one)
            else:
                panel.open_explanation(one)
        except ExpertError as error:
            show_error(str(error))
    return NO_LAYER
