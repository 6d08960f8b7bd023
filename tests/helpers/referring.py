"""A model of whole heads that refers to its prototypes' images and contains averages instead."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expert.datasets.average_images import pack_averages
from expert.imaging.preprocessing import prepare
from expert.imaging.registration import Registration
from expert.imaging.volume import Volume, write_volume
from expert.model_file import save_model
from expert.schema import (
    Architecture,
    ImageReference,
    InputSettings,
    Label,
    ModelInfo,
    PrototypeInfo,
    TrainingInfo,
)

LABELS = (30.0, 50.0, 70.0)
FILES = ("IXI/T1/a.nii.gz", "IXI/T1/b.nii.gz", "ds002748/T1/c.nii.gz")
"""Data set and file of the prototypes; the files of the last data set cannot be downloaded."""
PEOPLE = 26
SETTINGS = InputSettings(shape=(48, 64, 48), spacing_mm=3.0, center_mm=(10.0, -17.0, 0.0))


@dataclass(frozen=True)
class Referring:
    """The model file, and the folder of its data sets."""

    file: Path
    data: Path
    images: np.ndarray
    """(N, *shape) uint8, of the averages."""
    ages: np.ndarray
    """(N,)."""


def make_referring(head: Volume, folder: Path) -> Referring:
    """An untrained network: its predictions mean nothing."""
    import torch

    from expert.model import PrototypeRegressor

    place = Registration.known(np.eye(4))
    prepared = prepare(head, SETTINGS, registration=place).images[0]
    prototypes = []
    for number, (label, name) in enumerate(zip(LABELS, FILES, strict=True)):
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = np.asarray(head.data * (1 + 0.01 * number), np.float32)
        write_volume(Volume(data, head.affine, head.space), path)
        dataset, file = name.split("/", 1)
        prototypes.append(
            PrototypeInfo(
                label=label,
                source_label=label,
                reference=ImageReference(
                    dataset=dataset,
                    subject=f"{dataset} {number}",
                    file=file,
                    sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                    template_to_subject=tuple(tuple(map(float, row)) for row in np.eye(4)),
                ),
            )
        )
    architecture = Architecture(
        dimensions=3, widths=(4, 8), channels=8, prototypes=3, radius=500.0, marginals="content"
    )
    info = ModelInfo(
        name="referring",
        label=Label(minimum=20, maximum=80),
        input=SETTINGS,
        architecture=architecture,
        prototypes=tuple(prototypes),
        training=TrainingInfo(
            dataset="nothing", licence="none", subjects=PEOPLE, images=PEOPLE, seed=0, recipe={}
        ),
    )
    torch.manual_seed(1)
    network = PrototypeRegressor(architecture, info.grid)
    network.prototype_labels.copy_(torch.tensor(LABELS))
    generator = np.random.default_rng(2)
    ages = np.sort(generator.uniform(20, 80, PEOPLE))
    bright = generator.uniform(0.5, 1.0, (PEOPLE, 1, 1, 1))
    images = np.asarray(prepared * bright, np.uint8)
    path = save_model(
        folder / "referring.safetensors",
        info,
        {name: value.numpy() for name, value in network.state_dict().items()},
        averages=pack_averages(images, ages, np.arange(PEOPLE)),
    )
    return Referring(path, folder / "data", images, ages)
