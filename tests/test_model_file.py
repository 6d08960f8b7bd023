"""One model, one file: what is damaged, foreign or too new is refused in one sentence, and nothing
is unpickled."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import expert
from expert.errors import ModelError
from expert.model_file import SHIPPED, load_model, save_model, shipped_models
from expert.untrusted.model_tensors import LARGEST_FILE


def test_shipped_models_are_small_sound_and_without_strangers_images():
    assert shipped_models()[0] == expert.DEFAULT_MODEL
    for name in shipped_models():
        path = SHIPPED / f"{name}.safetensors"
        assert path.stat().st_size <= (5e6 if name == "phantom" else 25e6)
        model = load_model(name)
        assert not model.info.collapsed
        assert model.info.calibration is not None
        assert model.network.prototype_labels.shape == (len(model.info.prototypes),)
        if name != "phantom":
            assert model.prototype_images is None


def test_saved_and_loaded_is_the_same(model, tmp_path):
    weights = {
        k.removeprefix("weights."): v for k, v in model.tensors.items() if k.startswith("weights.")
    }
    path = save_model(tmp_path / "m.safetensors", model.info, weights, model.prototype_images)
    assert load_model(path).sha256 == model.sha256


def rewrite(source, target, *, document=None, tensor=None):
    with safe_open(source, "numpy") as file:
        metadata, tensors = (
            dict(file.metadata()),
            {key: file.get_tensor(key) for key in file.keys()},  # noqa: SIM118
        )
    if document is not None:
        metadata["expert"] = document(metadata["expert"])
    if tensor is not None:
        name = next(
            key
            for key in tensors
            if key.startswith("weights.") and tensors[key].dtype == np.float32
        )
        tensors[name] = tensor(tensors[name])
    save_file(tensors, target, metadata)
    return target


def test_what_cannot_be_used_is_refused(model, tmp_path):
    source = SHIPPED / "phantom.safetensors"
    cases = {
        "no model": tmp_path / "none.safetensors",
        "safetensors": tmp_path / "text.safetensors",
        "header has no": tmp_path / "foreign.safetensors",
        "newer|schema version 2": rewrite(
            source,
            tmp_path / "new.safetensors",
            document=lambda d: json.dumps({**json.loads(d), "schema_version": 2}),
        ),
        "checksum": rewrite(source, tmp_path / "changed.safetensors", tensor=lambda t: t + 1),
        "invalid metadata": rewrite(
            source,
            tmp_path / "wrong.safetensors",
            document=lambda d: json.dumps({**json.loads(d), "extra": 2}),
        ),
    }
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"a": np.zeros(3)}, tmp_path / "foreign.safetensors")
    for message, path in cases.items():
        with pytest.raises(ModelError, match=message) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


def test_a_pickle_is_not_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError):
        load_model(path)


def test_a_file_larger_than_any_model_is_not_read(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(ModelError, match="larger than 1 GB"):
        load_model(path)
