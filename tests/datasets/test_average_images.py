"""Tests of `expert.datasets.average_images`."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from expert.datasets import average_images
from expert.datasets.average_images import (
    MOST,
    PEOPLE,
    STEP,
    add_averages,
    average_image,
    average_shape,
    pack_averages,
    similar_subjects,
)
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.errors import InputError, ModelError
from expert.model_file import AVERAGES, load_model


@pytest.mark.parametrize("number", [0, 11, 12, 26, 155, 156, 1000])
def test_groups_are_of_at_least_ten_different_people_with_consecutive_labels(number):
    labels = np.random.default_rng(number).gamma(2.0, 15.0, number)
    groups = similar_subjects(labels)
    assert len(groups) == min(number // PEOPLE, len(groups), MOST)
    assert bool(groups) == (number >= PEOPLE)
    together = np.concatenate(groups) if groups else np.empty(0)
    assert len(together) == len(set(together.tolist())) == (number if groups else 0)
    assert all(len(group) >= PEOPLE for group in groups)
    for low, high in pairwise(groups):
        assert labels[low].max() <= labels[high].min()


def test_where_people_are_many_groups_are_joined():
    labels = np.concatenate([np.linspace(20, 30, 20 * PEOPLE), np.linspace(40, 90, 6 * PEOPLE)])
    groups = similar_subjects(labels)
    assert len(groups) == MOST
    assert [len(group) for group in groups[-6:]] == [PEOPLE] * 6


def test_the_average_is_that_of_the_people_of_the_prototypes_label(referring):
    model = load_model(referring.file)
    old = referring.ages >= np.sort(referring.ages)[13]
    for number, chosen in ((0, ~old), (1, None), (2, old)):
        image, about = average_image(model, number)
        assert about.people == 13
        if chosen is not None:
            ages = referring.ages[chosen]
            assert about.low == pytest.approx(ages.min(), abs=0.01)
            assert about.high == pytest.approx(ages.max(), abs=0.01)
            assert about.text == f"average of 13 people of {ages.min():.0f}–{ages.max():.0f}"
            exact = referring.images[chosen].mean(axis=0)
            assert np.abs(image - exact).max() <= STEP / 2 + 1e-3
    assert image.dtype == np.uint8
    assert image.shape == model.info.input.shape


def test_a_second_image_of_a_person_does_not_count():
    images = np.zeros((24, 4, 4, 4), np.uint8)
    subjects = np.repeat(np.arange(12), 2)
    assert pack_averages(images[:22], np.arange(22.0), subjects[:22]) is None
    header = pack_averages(images, np.arange(24.0), subjects).tobytes().split(b"\n")[0]
    (average,) = json.loads(header)["averages"]
    assert average["people"] == 12


def packed(shape, averages, data):
    header = {"format": 1, "shape": shape, "step": 4, "averages": averages}
    return np.frombuffer(json.dumps(header).encode() + b"\n" + zlib.compress(data), np.uint8)


def test_damaged_or_hostile_averages_are_refused_and_need_no_memory(referring):
    model = load_model(referring.file)
    shape = [1, *model.info.input.shape]
    group = {"people": 12, "low": 1, "high": 2, "mean": 1.5}
    bomb = bytes(300_000_000)
    cases = [
        np.zeros(10, np.uint8),
        np.zeros(10, np.float32),
        packed(shape, [group], b"short"),
        packed(shape, [group], bomb),
        packed([1, 4000, 4000, 4000], [group], bomb),
        packed([10**6, *shape[1:]], [group] * 10**6, b""),
        packed(shape, [{**group, "people": 9}], bytes(int(np.prod(shape)))),
        packed(shape, [{**group, "low": None}], bytes(int(np.prod(shape)))),
    ]
    del bomb
    for stored in cases:
        wrong = replace(model, tensors={**model.tensors, AVERAGES: stored})
        tracemalloc.start()
        with pytest.raises(ModelError, match="average images of the model referring are damaged"):
            average_image(wrong, 0)
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()


def test_models_of_plain_images_and_of_single_planes_have_none(model, tiny_model_file):
    assert average_shape(model.info) is None
    assert average_shape(load_model(tiny_model_file).info) is None
    assert average_image(model, 0) is None


def test_averages_are_added_to_a_model_of_the_same_table_only(referring, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(f"file,age\n{referring.data / 'IXI/T1/a.nii.gz'},30\n")
    model = load_model(referring.file)
    (one,) = read_table(table, label_column="age")
    entries = [replace(one, subject=f"p{n}") for n in range(12)]
    cohort = load_cohort(entries, model.info.input, tmp_path / "prepared", jobs=1)
    with pytest.raises(InputError, match="not that of the training of referring: 2 images"):
        add_averages(model, cohort, tmp_path / "m.safetensors")
    same = {"reference": model.info.prototypes[0].reference}
    prototypes = tuple(one.model_copy(update=same) for one in model.info.prototypes)
    info = model.info.model_copy(update={"prototypes": prototypes})
    changed = load_model(
        add_averages(replace(model, info=info), cohort, tmp_path / "m.safetensors")
    )
    image, about = average_image(changed, 0)
    assert (about.people, about.text) == (12, "average of 12 people of 30")
    assert np.abs(image - cohort.images[0, 0].astype(float)).max() <= STEP / 2
    few = cohort.select(np.arange(11))
    with pytest.raises(InputError, match="at least 12 subjects"):
        add_averages(replace(model, info=info), few, tmp_path / "m.safetensors")


def test_upright_heads_have_averages_without_the_rim(fetal_model):
    image, about = average_image(fetal_model, 0)
    assert image.shape == fetal_model.info.input.shape
    assert not image[[0, -1]].any()
    assert not image[:, [0, -1]].any()
    assert image.max() > 60
    assert about.people >= PEOPLE
    assert f"{about.people} fetuses of " in about.text
    labels = [one.low for one in average_images.averages(fetal_model)]
    assert labels == sorted(labels)
