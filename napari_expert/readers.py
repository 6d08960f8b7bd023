"""Open NIfTI, NRRD and DICOM folders in napari with nothing else installed; the true affine stays in the metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LayerData = tuple[Any, dict[str, Any], str]
ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr")


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """A reader for heads, or None for what is not one of ours.

    Parameters
    ----------
    path : file, DICOM folder, or several of them
    """
    paths = [path] if isinstance(path, str) else list(path)
    if not paths or not all(_ours(Path(one)) for one in paths):
        return None
    return read


def _ours(path: Path) -> bool:
    if not path.is_dir():
        return path.name.lower().endswith(ENDINGS)
    # A DICOM file has its mark at byte 128; one look at the first files of a folder is enough.
    for file in sorted(p for p in path.iterdir() if p.is_file())[:5]:
        with file.open("rb") as stream:
            if stream.read(132)[128:] == b"DICM":
                return True
    return False


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Image layers, drawn in the radiological convention, in mm.

    Raises
    ------
    expert.errors.InputError
        A file cannot be used; one sentence says why.
    """
    from expert.volume import read_volume
    from napari_expert.orientation import layer_arguments

    out = []
    for one in [path] if isinstance(path, str) else path:
        data, arguments = layer_arguments(read_volume(one))
        name = Path(one).name
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        out.append((data, {**arguments, "name": name, "colormap": "gray"}, "image"))
    return out
