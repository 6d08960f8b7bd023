"""Tests of `expert.convert.checkpoint_reader`."""

from __future__ import annotations

import os
import pickle
import sys
import types

import pytest
import torch
from helpers.published import PLAIN, YEARS, lightning, pictures, same, unseen

from expert.convert.conversion import convert_checkpoint, read_checkpoint
from expert.errors import ModelError
from expert.model_file import load_model


class Bomb:
    """An object that, unpickled, makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return (os.mkdir, (self.folder,))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(legacy, net, tmp_path):
    path, trace = tmp_path / "bad.ckpt", tmp_path / "trace"
    document = {"state_dict": net.state_dict(), "hyper_parameters": Bomb(trace)}
    torch.save(document, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match=r"mkdir.* nothing in it was run") as caught:
        convert_checkpoint(path, tmp_path / "m.safetensors", YEARS)
    assert "\n" not in str(caught.value)
    assert not trace.exists()
    assert not (tmp_path / "m.safetensors").exists()


def test_a_bare_pickle_is_refused_and_not_run(tmp_path):
    path, trace = tmp_path / "bad.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Bomb(trace), protocol=2))
    with pytest.raises(ModelError):
        read_checkpoint(path)
    assert not trace.exists()


def test_a_whole_pickled_network_is_refused(net, tmp_path):
    path = tmp_path / "whole.pth"
    torch.save(net, path)
    with pytest.raises(ModelError, match="save the weights alone"):
        read_checkpoint(path)


def test_nothing_is_unpickled_in_this_process(checkpoint, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *arguments, **settings: pytest.fail("loaded here"))
    assert "prototype_vectors" in read_checkpoint(checkpoint).tensors


@pytest.fixture
def settings_of_the_published_code(monkeypatch):
    """Its module of settings, as it is where such checkpoints are made; it is not there where they
    are read."""
    module = types.ModuleType("define_parameters")

    class NetworkParams:
        def __init__(self, **values):
            self.__dict__.update(values)

    class Parameters(NetworkParams):
        def __setstate__(self, state):
            pytest.fail("a class of the checkpoint was used")

    for kind in (NetworkParams, Parameters):
        kind.__module__, kind.__qualname__ = "define_parameters", kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "define_parameters", module)
    return module


def test_a_lightning_checkpoint_with_the_published_settings(
    settings_of_the_published_code, net, tmp_path
):
    module = settings_of_the_published_code

    def with_settings(name, **network):
        params = module.Parameters(
            save_path=tmp_path, network_params=module.NetworkParams(**network)
        )
        return lightning(net, tmp_path / name, hyper_parameters={"params": params})

    model = load_model(
        convert_checkpoint(
            with_settings("a.ckpt", avg_pool=False, last_act="relu"),
            tmp_path / "m.safetensors",
            PLAIN,
        )
    )
    same(model, net, unseen(pictures(12, (64, 96)), 2))
    for name, network, word in (
        ("b.ckpt", {"avg_pool": True}, "avg_pool"),
        ("c.ckpt", {"last_act": "sigmoid"}, "sigmoid"),
    ):
        with pytest.raises(ModelError, match=word):
            convert_checkpoint(with_settings(name, **network), tmp_path / "n.safetensors", PLAIN)
