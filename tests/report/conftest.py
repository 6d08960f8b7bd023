"""Fixtures of these tests."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.squares import draw_squares

import expert
from expert.explanation import Explanation
from expert.model_file import load_model, save_model
from expert.schema import Architecture, InputSettings, Label, ModelInfo, PrototypeInfo, TrainingInfo


@pytest.fixture(scope="session")
def plain(tiny_model_file, tmp_path_factory) -> Explanation:
    """A plain 2D image: no letters, no mm."""
    folder = tmp_path_factory.mktemp("plain")
    draw_squares(folder, 4, 9)
    return expert.explain(
        load_model(tiny_model_file),
        expert.read_volume(folder / "square-02.png", pixel_size_mm=1.0),
        top=3,
    )


@pytest.fixture(scope="session")
def solid(head, tmp_path_factory) -> Explanation:
    """A head explained as a volume, by an untrained network: its matches go anywhere."""
    import torch

    from expert.imaging.preprocessing import prepare
    from expert.model import PrototypeRegressor

    recipe = InputSettings(
        space="mni", shape=(48, 64, 48), spacing_mm=3.0, center_mm=(10.0, -17.0, 0.0)
    )
    architecture = Architecture(
        dimensions=3, widths=(4, 8), channels=8, prototypes=3, radius=500.0, marginals="content"
    )
    labels = (30.0, 50.0, 70.0)
    info = ModelInfo(
        name="solid",
        label=Label(minimum=20, maximum=80),
        input=recipe,
        architecture=architecture,
        prototypes=tuple(PrototypeInfo(label=label, source_label=label) for label in labels),
        training=TrainingInfo(
            dataset="nothing", licence="none", subjects=1, images=1, seed=0, recipe={}
        ),
    )
    torch.manual_seed(1)
    network = PrototypeRegressor(architecture, info.grid)
    network.prototype_labels.copy_(torch.tensor(labels))
    image = prepare(head, recipe).images[0]
    path = save_model(
        tmp_path_factory.mktemp("solid") / "m.safetensors",
        info,
        {name: value.numpy() for name, value in network.state_dict().items()},
        np.stack([image] * 3),
    )
    return expert.explain(load_model(path), head, top=2)
