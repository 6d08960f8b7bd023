"""What many tests share. Real data (../shared, or EXPERT_DATA_DIR) is optional: tests that need it
skip with a reason."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from pathlib import Path

# Before torch and ITK are imported: several test processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
# Before napari is imported: tests neither read nor write anybody's settings.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

import pytest
from helpers.processes import heed_ctrl_c
from helpers.recipes import PLANES, TINY, TISSUE, VOLUMES
from helpers.squares import draw_squares

heed_ctrl_c()
SHARED = Path(os.environ.get("EXPERT_DATA_DIR", Path(__file__).parents[2] / "shared" / "data"))


SLOW_FIXTURES = {"volume_model_file", "planes_cohort", "study", "calibrated_model"}
"""Fixtures that take a quarter of a minute or more: the tests that need one are marked `slow`."""


def pytest_collection_modifyitems(items):
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def quick_garbage_collection():
    """What is there before a test (torch, napari) is not searched again in every one of
    napari's many collections."""
    gc.freeze()


@pytest.fixture(autouse=True)
def forget_settings():
    """What one test chose is not remembered in the next."""
    yield
    if "napari_expert.panel.settings" in sys.modules:
        sys.modules["napari_expert.panel.settings"].Settings().save()


@pytest.fixture(scope="session")
def ixi() -> Path:
    """Folder of the IXI heads with labels.csv."""
    folder = SHARED / "ixi"
    if not (folder / "labels.csv").is_file():
        pytest.skip("the IXI heads are not at hand (EXPERT_DATA_DIR)")
    return folder


@pytest.fixture(scope="session")
def hc18() -> Path:
    """Folder of the ultrasound images of fetal heads with labels.csv."""
    folder = SHARED / "hc18"
    if not (folder / "labels.csv").is_file():
        pytest.skip("the images of HC18 are not at hand (EXPERT_DATA_DIR)")
    return folder


@pytest.fixture(scope="session")
def fetal_model():
    """The shipped model of fetal heads."""
    from expert.model_file import load_model

    return load_model("fetal-head")


@pytest.fixture(scope="session")
def head():
    """A synthetic head of 72 years."""
    from expert.datasets.phantom import phantom

    return phantom(72, 5)


@pytest.fixture(scope="session")
def head_file(head, tmp_path_factory) -> Path:
    from expert.imaging.volume import write_volume

    return write_volume(head, tmp_path_factory.mktemp("head") / "head.nii.gz")


@pytest.fixture(scope="session")
def model():
    """The embedded model."""
    from expert.model_file import load_model

    return load_model("phantom")


@pytest.fixture(scope="session")
def explanation(model, head):
    """The head of 72 years, explained by the embedded model."""
    from expert.inference import explain

    return explain(model, head, top=3)


@pytest.fixture(scope="session")
def forced(model):
    """A head of 72 years that is refused, because its registration failed, and predicted all the
    same."""
    from helpers.refusals import failed, registered_head

    from expert.inference import explain

    volume, registration = registered_head(72, 5)
    return explain(model, volume, top=3, registration=failed(registration), force=True)


@pytest.fixture
def heads_refused(monkeypatch):
    """The registration of every head fails; all that follows from it is real."""
    from helpers.refusals import failed, registered_head

    registration = failed(registered_head(72, 5)[1])
    monkeypatch.setattr(
        "expert.imaging.preprocessing.register", lambda volume, progress=None: registration
    )


@pytest.fixture
def dock():
    """Opens the panel in a viewer, with a head and another model if given, and lets go of the
    viewer at the end."""
    from qtpy.compat import isalive

    from napari_expert.layer_geometry import layer_arguments
    from napari_expert.panel.main_widget import ExpertWidget

    panels = []

    def open_panel(viewer, head=None, model=None):
        if head is not None:
            data, arguments = layer_arguments(head)
            viewer.add_image(data, **arguments, name="head")
        panels.append(panel := ExpertWidget(viewer))
        viewer.window.add_dock_widget(panel, name="ExPeRT")
        panel.input.choose_model(str(model or "phantom"))
        return panel

    yield open_panel
    for panel in panels:
        if isalive(panel):  # not where the test closed the whole window
            panel.close_down()


@pytest.fixture(scope="session")
def referring(head, tmp_path_factory):
    """A model whose prototypes' images are in files, with averages instead of them."""
    from helpers.referring import make_referring

    return make_referring(head, tmp_path_factory.mktemp("referring"))


@pytest.fixture(scope="session")
def averaged(referring, head):
    """A head explained by that model, without the files."""
    import numpy as np

    from expert.imaging.registration import Registration
    from expert.inference import explain
    from expert.model_file import load_model

    return explain(
        load_model(referring.file), head, top=3, registration=Registration.known(np.eye(4))
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Downloaded and rendered images of one test are not found by the next one."""
    folder = tmp_path_factory.getbasetemp() / f"cache-{time.monotonic_ns()}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: folder / name)
    return folder


@pytest.fixture
def empty_cache(own_cache, monkeypatch):
    """No image is on this computer, and none can be downloaded: proxies do not respond."""
    monkeypatch.delenv("EXPERT_DATA_DIR", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return own_cache / "napari-expert" / "data"


@pytest.fixture
def server(referring, empty_cache, monkeypatch):
    """Serves the images that `referring` refers to."""
    from helpers.file_server import serving

    with serving(referring.data) as running:
        monkeypatch.setenv("EXPERT_MIRROR", running.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def squares(tmp_path_factory) -> Path:
    return draw_squares(tmp_path_factory.mktemp("squares"), 24, 1)


@pytest.fixture(scope="session")
def tiny_model_file(tiny_recipe, squares, tmp_path_factory) -> Path:
    """A model of plain 2D images, really trained."""
    from expert.training.pipeline import train
    from expert.training.recipe import read_recipe

    folder = tmp_path_factory.mktemp("tiny")
    return train(
        read_recipe(tiny_recipe), squares, folder / "tiny.safetensors", folds=3, plain=True, jobs=1
    )


@pytest.fixture(scope="session")
def volume_model_file(tmp_path_factory) -> Path:
    """A model of whole 3D heads, really trained: on too few to be right, enough to find places
    again."""
    from expert.datasets.phantom import write_cohort
    from expert.training.pipeline import train
    from expert.training.recipe import read_recipe

    folder = tmp_path_factory.mktemp("volumes")
    recipe = folder / "volumes.yaml"
    recipe.write_text(VOLUMES)
    return train(
        read_recipe(recipe),
        write_cohort(folder / "heads", 7, 21),
        folder / "volumes.safetensors",
        jobs=2,
    )


@pytest.fixture(scope="session")
def volume_explanation(volume_model_file, head):
    """The head of 72 years, explained by the 3D model."""
    from expert.inference import explain
    from expert.model_file import load_model

    return explain(load_model(volume_model_file), head, top=4)


@pytest.fixture(scope="session")
def solid(head, tmp_path_factory):
    """A head explained as a volume, by an untrained network: its matches go anywhere."""
    import numpy as np
    import torch

    from expert.imaging.preprocessing import prepare
    from expert.inference import explain
    from expert.model import PrototypeRegressor
    from expert.model_file import load_model, save_model
    from expert.schema import (
        Architecture,
        InputSettings,
        Label,
        ModelInfo,
        PrototypeInfo,
        TrainingInfo,
    )

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
    return explain(load_model(path), head, top=2)


@pytest.fixture(scope="session")
def one_plane(model):
    """The embedded model with one plane, in a fifth of the time; its out-of-distribution limit is
    the nearest distance."""
    from dataclasses import replace

    recipe = model.info.input.model_copy(update={"positions_mm": (7.0,)})
    calibration = model.info.calibration.model_copy(update={"familiarity": None})
    return replace(
        model, info=model.info.model_copy(update={"input": recipe, "calibration": calibration})
    )


REFERENCE_VECTORS = sorted((SHARED.parent / "reference_vectors").glob("case_*.safetensors"))


@pytest.fixture(params=REFERENCE_VECTORS, ids=lambda p: p.stem)
def reference_case(request):
    from safetensors.torch import load_file

    return load_file(request.param)


@pytest.fixture(scope="session")
def members_recipe(tmp_path_factory):
    from expert.training.recipe import read_recipe

    path = tmp_path_factory.mktemp("members") / "members.yaml"
    path.write_text(
        TISSUE.replace("prototypes: 4", "prototypes: 4, members: 2, matching: position").replace(
            "prototypes: 4", "prototypes: 3"
        )
    )
    return read_recipe(path)


@pytest.fixture(scope="session")
def tissue_recipe(tmp_path_factory):
    from expert.training.recipe import read_recipe

    path = tmp_path_factory.mktemp("tissue") / "tissue.yaml"
    path.write_text(TISSUE)
    return read_recipe(path)


@pytest.fixture(scope="session")
def volume_table(volume_model_file):
    """The table of the synthetic heads that the other 3D model is trained on."""
    return next((volume_model_file.parent / "heads").glob("*.csv"))


@pytest.fixture(scope="session")
def planes_recipe(tmp_path_factory):
    from expert.training.recipe import read_recipe

    path = tmp_path_factory.mktemp("planes") / "planes.yaml"
    path.write_text(PLANES)
    return read_recipe(path)


@pytest.fixture(scope="session")
def planes_table(tmp_path_factory):
    from expert.datasets.phantom import write_cohort

    return write_cohort(tmp_path_factory.mktemp("heads"), 8, 41)


@pytest.fixture(scope="session")
def planes_cohort(planes_recipe, planes_table, tmp_path_factory):
    from expert.datasets.prepared_dataset import load_cohort
    from expert.datasets.table import read_table

    return load_cohort(
        read_table(planes_table, label_column=None),
        planes_recipe.input,
        tmp_path_factory.mktemp("prepared"),
        jobs=2,
    )


@pytest.fixture(scope="session")
def planes_model_file(planes_recipe, planes_table, planes_cohort, tmp_path_factory):
    from expert.training.pipeline import train

    return train(
        planes_recipe,
        planes_table,
        tmp_path_factory.mktemp("model") / "planes.safetensors",
        folds=2,
        plain=True,
        prepared=planes_cohort.folder,
        jobs=2,
    )
