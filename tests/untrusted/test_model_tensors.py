"""Tests of `expert.untrusted.model_tensors`: hostile and damaged model files."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.bad_models import BAD, BAD_NETWORK, Parts, bad_model, small_model, square
from typer.testing import CliRunner

import expert
from expert.cli.main import app
from expert.errors import ModelError
from expert.model_file import load_model

FLIPS = 120
"""Per region of a file."""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return square(tmp_path_factory.mktemp("image"))


def check_sentence(text):
    assert 20 < len(text) < 2100
    assert "\n" not in text
    assert "\x1b" not in text
    assert text.rstrip().endswith(".")


@pytest.mark.parametrize("name", [*BAD, *BAD_NETWORK])
def test_a_bad_model_is_refused_in_one_sentence(name, good, tmp_path):
    path = bad_model(tmp_path, good, name)
    message = (BAD | BAD_NETWORK)[name][0]
    if name in BAD_NETWORK:
        loaded = load_model(path)
        with pytest.raises(ModelError, match=message) as caught:
            loaded.network.eval()
    else:
        with pytest.raises(ModelError, match=message) as caught:
            load_model(path)
    check_sentence(str(caught.value))


@pytest.mark.parametrize("name", [*BAD, *BAD_NETWORK])
def test_commands_refuse_a_bad_model_in_one_sentence(name, good, image, tmp_path):
    path = bad_model(tmp_path, good, name)
    commands = [["explain", str(image), "--out", str(tmp_path / "out"), "--model", str(path)]]
    if name in BAD:
        commands.append(["info", str(path)])
    for command in commands:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1, (command, done.output)
        assert done.stderr.startswith("Error: ")
        check_sentence(done.stderr.strip())
        assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_the_good_model_explains(good, image, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["explain", str(image), "--out", str(out), "--model", str(good)])
    assert done.exit_code == 0, done.output
    assert (out / "explanation.json").is_file()


def test_a_flipped_bit_is_refused_or_changes_nothing(good, image, tmp_path):
    """In the length and the text of the header, and in each tensor."""
    parts, generator = Parts(good), np.random.default_rng(5)
    regions = {"length": (0, 8), "header": (8, parts.start)}
    for name, one in parts.header.items():
        first, last = one["data_offsets"]
        regions[name] = (parts.start + first, parts.start + last)
    original = load_model(good)
    volume = expert.read_volume(image, pixel_size_mm=1.0)
    expected = expert.explain(original, volume, top=2).prediction
    refused = same = 0
    path = tmp_path / "flipped.safetensors"
    for first, last in regions.values():
        for position in generator.integers(first, last, FLIPS):
            data = bytearray(parts.raw)
            data[position] ^= 1 << int(generator.integers(8))
            path.write_bytes(data)
            try:
                loaded = load_model(path)
            except ModelError as error:
                check_sentence(str(error))
                refused += 1
                continue
            assert loaded.sha256 == original.sha256
            assert loaded.info == original.info
            assert all(np.array_equal(loaded.tensors[n], v) for n, v in original.tensors.items())
            same += 1
    assert refused + same == FLIPS * len(regions)
    assert refused > 0.98 * (refused + same)
    assert expert.explain(load_model(good), volume, top=2).prediction == expected


def test_a_flipped_weight_is_refused_in_every_byte_of_a_tensor(good, tmp_path):
    parts = Parts(good)
    first, last = parts.header["weights.prototype_labels"]["data_offsets"]
    path = tmp_path / "flipped.safetensors"
    for position in range(parts.start + first, parts.start + last):
        data = bytearray(parts.raw)
        data[position] ^= 1
        path.write_bytes(data)
        with pytest.raises(ModelError, match="checksum"):
            load_model(path)
