"""Model files: one safetensors file with weights, prototypes and a JSON document (`ModelInfo`).

Nothing is unpickled.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from expert import DEFAULT_MODEL
from expert.errors import ModelError, first_problem
from expert.files import replacing
from expert.schema import SCHEMA_VERSION, ModelInfo
from expert.untrusted.documents import parse_json
from expert.untrusted.model_tensors import (
    MOST_TENSORS,
    file_problem,
    tensor_problem,
    weight_problem,
)

if TYPE_CHECKING:
    from expert.model import PrototypeRegressor

SHIPPED = Path(__file__).parent / "models"
WEIGHTS, IMAGES, AVERAGES = "weights.", "prototype_images", "average_images"
CHECKPOINTS = (".pth", ".pt", ".ckpt")


@dataclass(frozen=True, eq=False)
class Model:
    """A model that was loaded and checked: metadata, tensors, and the network built from them."""

    info: ModelInfo
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    sha256: str
    path: Path | None = None

    @property
    def prototype_images(self) -> np.ndarray | None:
        """(P, *shape) or (P, planes, *shape) uint8; None if the file contains no images.

        With an axis of planes where prototypes show every plane.
        """
        return self.tensors.get(IMAGES)

    @functools.cached_property
    def network(self) -> PrototypeRegressor:
        """The network in evaluation mode, on the CPU; built on first use.

        Raises
        ------
        ModelError
            The weights do not fit the architecture in the metadata.
        """
        import torch

        from expert.model import PrototypeRegressor

        weights = {
            k.removeprefix(WEIGHTS): v for k, v in self.tensors.items() if k.startswith(WEIGHTS)
        }
        with torch.device("meta"):  # without memory: the architecture may be that of a huge network
            empty = PrototypeRegressor(self.info.architecture, self.info.grid)
        if problem := weight_problem(empty, weights):
            raise ModelError(
                f"The model {self.info.name} cannot be used: its weights do not fit the "
                f"architecture in its metadata: {problem}."
            )
        network = PrototypeRegressor(self.info.architecture, self.info.grid)
        state = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        network.load_state_dict(state)
        return network.eval().requires_grad_(False)


def _digest(tensors: Mapping[str, np.ndarray], document: str) -> str:
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _ordered(data: bytes) -> bytes:
    """A safetensors file with its header in a fixed order: safetensors writes a random one."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:start]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # as safetensors aligns the tensors
    return len(header).to_bytes(8, "little") + header + data[start:]


def save_model(
    path: str | os.PathLike[str],
    info: ModelInfo,
    weights: Mapping[str, np.ndarray],
    prototype_images: np.ndarray | None = None,
    averages: np.ndarray | None = None,
    *,
    further: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a model file.

    Parameters
    ----------
    path : path-like
        The file, usually with the extension .safetensors.
    info : ModelInfo
        The metadata.
    weights : Mapping[str, ndarray]
        State of the network, name to array.
    prototype_images : (P, *shape) or (P, planes, *shape) uint8 ndarray, optional
        Images of the prototypes; by default the file does not contain them.
    averages : (B,) uint8 ndarray, optional
        From `expert.datasets.average_images.pack_averages`.
    further : Mapping[str, ndarray], optional
        More tensors by name, such as `expert.evidence.tissue_norms.TissueNorms.tensors`.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ModelError
        The file cannot be written.
    """
    from safetensors.numpy import save

    tensors = {WEIGHTS + name: np.ascontiguousarray(value) for name, value in weights.items()}
    if prototype_images is not None:
        tensors[IMAGES] = np.ascontiguousarray(prototype_images, dtype=np.uint8)
    if averages is not None:
        tensors[AVERAGES] = averages
    tensors |= {name: np.ascontiguousarray(value) for name, value in (further or {}).items()}
    document = info.model_dump_json()
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            metadata = {"expert": document, "sha256": _digest(tensors, document)}
            temporary.write_bytes(_ordered(save(tensors, metadata)))
    except OSError as error:
        raise ModelError(
            f"The model could not be written to {target}: {error.strerror}."
        ) from error
    return target


def shipped_models() -> tuple[str, ...]:
    """Names of the models in the package, the default first."""
    names = sorted(path.stem for path in SHIPPED.glob("*.safetensors"))
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_MODEL, name)))


def load_model(name: str | os.PathLike[str]) -> Model:
    """Load and check a model.

    Parameters
    ----------
    name : path-like
        Name of a shipped model (see `shipped_models`), or a model file.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        The model does not exist, or the file is damaged, of a newer version, or not a model file.
    """
    from safetensors import SafetensorError, safe_open

    path = SHIPPED / f"{name}.safetensors" if str(name) in shipped_models() else Path(name)
    if not path.is_file():
        known = ", ".join(shipped_models()) or "none"
        raise ModelError(
            f"There is no model '{name}': give a model file, or the name of a shipped model "
            f"({known})."
        )
    try:
        problem = file_problem(path)
        if problem and path.suffix.lower() not in CHECKPOINTS:
            raise ModelError(f"{path.name} is not a readable model file: {problem}.")
        if problem:
            raise ValueError(problem)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            document = metadata.get("expert")
            if document is None:
                raise ModelError(
                    f"{path.name} is not a model of napari-expert: its header has no "
                    "'expert' metadata."
                )
            info = _read_info(path, document)
            names = file.keys()
            if len(names) > MOST_TENSORS:
                raise ModelError(f"{path.name} is not a readable model file: too many tensors.")
            tensors = {key: file.get_tensor(key) for key in names}
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        kind = "it is damaged, or of another format"
        if path.suffix.lower() in CHECKPOINTS:
            kind = "convert checkpoints of the published code with 'expert convert'"
        raise ModelError(
            f"{path.name} is not a readable model file (safetensors): {kind}."
        ) from error
    digest = _digest(tensors, document)
    if metadata.get("sha256") != digest:
        raise ModelError(
            f"{path.name} is damaged: its checksum does not match its content. Download or copy "
            "the file again."
        )
    if problem := tensor_problem(info, tensors):
        raise ModelError(f"{path.name} cannot be used: {problem}.")
    return Model(info, tensors, digest, path)


def _read_info(path: Path, document: str) -> ModelInfo:
    try:
        parsed = parse_json(document)
        version = parsed.get("schema_version")
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"{path.name} is damaged: its header is not a usable JSON document."
        ) from error
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{path.name} has schema version {version!r:.20}, but this version of napari-expert "
            f"reads version {SCHEMA_VERSION}: update napari-expert."
        )
    try:
        return ModelInfo.model_validate_json(document)
    except ValidationError as error:
        raise ModelError(f"{path.name} has invalid metadata: {first_problem(error)}.") from error


def versions() -> dict[str, str]:
    """Versions of the software that computes a result, by name."""
    names = ("napari-expert", "torch", "POT", "SimpleITK", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
