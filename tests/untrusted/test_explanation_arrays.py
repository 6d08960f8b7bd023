"""Tests of `expert.untrusted.explanation_arrays`: hostile and damaged explanations."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.bad_explanations import FIELDS, UNFIT, WHOLE, bad_explanations
from helpers.bad_models import small_model, square

import expert
from expert.errors import InputError
from expert.explanation import Explanation


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    model = expert.load_model(small_model(folder))
    volume = expert.read_volume(square(folder), pixel_size_mm=1.0)
    return expert.explain(model, volume, top=2)


@pytest.fixture(scope="module")
def corpus(good):
    return bad_explanations(json.loads(good.model_dump_json()))


def test_the_good_one_opens(good, tmp_path):
    again = Explanation.load(good.save(tmp_path / "e.json"))
    assert again.prediction == good.prediction
    np.testing.assert_array_equal(again.views[0].mass, good.views[0].mass)


@pytest.mark.parametrize("name", [*WHOLE, *FIELDS, *UNFIT, "half", "twice", "NaN"])
def test_a_bad_explanation_is_refused_in_one_sentence(name, corpus, tmp_path):
    message, content = corpus[name]
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Explanation.load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_the_corpus_is_complete(corpus):
    assert {*corpus} == {*WHOLE, *FIELDS, *UNFIT, "half", "twice", "NaN"}


def test_folders_devices_and_huge_files_are_no_explanations(tmp_path):
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(600 << 20)
    for path in (tmp_path, tmp_path / "none.json", tmp_path / "huge.json"):
        with pytest.raises(InputError):
            Explanation.load(path)


def test_every_cut_is_refused(good, tmp_path):
    content = good.model_dump_json().encode()
    path = tmp_path / "cut.json"
    for length in np.random.default_rng(2).integers(0, len(content), 100):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            Explanation.load(path)


def test_a_changed_byte_is_refused_or_gives_an_explanation_that_can_be_written(good, tmp_path):
    """JSON has no checksum: a changed digit may be read, but nothing crashes on it."""
    content = good.model_dump_json().encode()
    generator, path = np.random.default_rng(4), tmp_path / "changed.json"
    refused = 0
    for position in generator.integers(0, len(content), 300):
        data = bytearray(content)
        data[position] = int(generator.integers(32, 127))
        path.write_bytes(data)
        try:
            found = Explanation.load(path)
        except InputError:
            refused += 1
            continue
        found.save(tmp_path / "again.json")
        assert found.patch_box(0)
        assert found.prediction_text
    assert refused > 200
