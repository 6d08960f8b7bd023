"""Tests of `expert.convert.state_dict`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.published import PLAIN

from expert.convert import conversion
from expert.convert.conversion import Checkpoint, convert_checkpoint
from expert.convert.facts import Facts
from expert.errors import ModelError
from expert.model_file import load_model

CONV1 = "features.conv1.weight"


def without(tensors, *names):
    return {key: value for key, value in tensors.items() if key not in names}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: without(t, "prototype_vectors", "r"), "prototype_vectors, r are missing"),
        (
            lambda t: without(t, "features.layer3.1.bn2.running_var"),
            "layer3.1.bn2.running_var is missing",
        ),
        (lambda t: without(t, "add_on_layers.2.bias"), "add_on_layers.2.bias is missing"),
        (
            lambda t: {**t, "features.layer1.2.conv1.weight": t["r"]},
            "layer1.2.conv1.weight is not part of it",
        ),
        (lambda t: {**t, "features.bn1.weight": t["r"]}, "features.bn1.weight has shape"),
        (
            lambda t: {**t, CONV1: t[CONV1].repeat(4, axis=1)},
            "three that repeat it",
        ),
        (
            lambda t: {**t, "features.layer2.0.conv1.weight": np.float32(3)},
            "not that of a convolution",
        ),
        (
            lambda t: {**t, "prototype_vectors": t["prototype_vectors"][0]},
            "prototype_vectors has shape",
        ),
        (lambda t: {**t, "proto_classes": t["proto_classes"][:5]}, "proto_classes has shape"),
        (
            lambda t: {**t, "proto_classes": np.full_like(t["proto_classes"], 40)},
            "minimum must be below",
        ),
        (lambda t: {**t, "emb_loss_s": np.float32([np.nan])}, "not finite"),
        (lambda t: {**t, "r": np.float32([-5])}, "radius"),
        (
            lambda t: {**t, "prototype_images": t["prototype_images"][:, :32]},
            "prototype_images is uint8 of shape",
        ),
        (
            lambda t: {**t, "prototype_images": 0 * t["prototype_images"]},
            "leave out --images value",
        ),
    ],
)
def test_what_is_no_such_network_is_refused(change, words, net, tmp_path, monkeypatch):
    tensors = {key: value.numpy() for key, value in net.state_dict().items()}
    monkeypatch.setattr(
        conversion, "read_checkpoint", lambda path: Checkpoint(change(tensors), {}, "0" * 64)
    )
    facts = Facts(label_unit="years", space="image", prototype_images="value")
    with pytest.raises(ModelError, match=words) as caught:
        convert_checkpoint("weights.pth", tmp_path / "m.safetensors", facts)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m.safetensors").exists()


def test_the_number_of_batches_is_not_needed(net, tmp_path, monkeypatch):
    tensors = {
        k: v.numpy() for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    monkeypatch.setattr(
        conversion, "read_checkpoint", lambda path: Checkpoint(tensors, {}, "0" * 64)
    )
    assert load_model(convert_checkpoint("weights.pth", tmp_path / "m.safetensors", PLAIN)).network
