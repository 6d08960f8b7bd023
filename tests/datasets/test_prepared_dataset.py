"""Tests of `expert.datasets.prepared_dataset`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.errors import InputError
from expert.training.recipe import read_recipe


@pytest.fixture(scope="module")
def settings(tiny_recipe):
    return read_recipe(tiny_recipe).input


@pytest.fixture(scope="module")
def cohort(squares, settings, tmp_path_factory):
    return load_cohort(read_table(squares), settings, tmp_path_factory.mktemp("prepared"), jobs=1)


def test_arrays_are_in_the_order_of_the_table(cohort, squares):
    assert cohort.images.shape == cohort.content.shape == (24, 1, 32, 32)
    assert cohort.images.dtype == np.uint8
    assert cohort.labels.tolist() == [entry.label for entry in read_table(squares)]
    # The squares become brighter with their label.
    brightness = cohort.images[:, 0, 10:20, 10:20].mean((1, 2))
    assert np.corrcoef(brightness, cohort.labels)[0, 1] > 0.99
    assert np.isnan(cohort.transforms).all()
    assert cohort.positions_mm == (None,)
    assert cohort.explained_planes(None) == [0]


def test_some_rows(cohort):
    some = cohort.select(np.array([5, 2]))
    np.testing.assert_array_equal(some.images, cohort.images[[5, 2]])
    assert [entry.name for entry in some.entries] == ["square-05.png", "square-02.png"]
    assert some.folder == cohort.folder


def test_images_of_one_subject_share_a_number(cohort):
    entries = tuple(replace(entry, subject=str(n // 2)) for n, entry in enumerate(cohort.entries))
    subjects = replace(cohort, entries=entries).subjects
    assert len(set(subjects.tolist())) == 12
    assert subjects[0] == subjects[1] != subjects[2]


def test_prepared_images_are_read_again_until_the_settings_change(cohort, squares, settings):
    entries, folder = read_table(squares)[:3], cohort.folder
    stages = []
    again = load_cohort(
        entries, settings, folder, jobs=1, progress=lambda *stage: stages.append(stage)
    )
    assert stages == []
    np.testing.assert_array_equal(again.images, cohort.images[:3])
    other = settings.model_copy(update={"spacing_mm": 0.5})
    load_cohort(entries[:1], other, folder, jobs=1, progress=lambda *stage: stages.append(stage))
    assert stages == [("prepare", 1.0)]


def test_an_image_that_cannot_be_used_is_named_by_its_row(squares, settings, tmp_path):
    entries = list(read_table(squares)[:2])
    (tmp_path / "bad.png").write_text("no image")
    entries[1] = replace(entries[1], file=tmp_path / "bad.png")
    with pytest.raises(InputError, match=r"Row 3 of the table cannot be used: .*bad\.png"):
        load_cohort(entries, settings, tmp_path / "prepared", jobs=1)


def test_refused_images_are_left_out_and_listed(squares, settings, tmp_path):
    entries = list(read_table(squares)[:3])
    (tmp_path / "bad.png").write_text("no image")
    entries[1] = replace(entries[1], file=tmp_path / "bad.png")
    for _ in range(2):  # the second time, the others are prepared already
        refused, stages = {}, []
        cohort = load_cohort(
            entries,
            settings,
            tmp_path / "prepared",
            jobs=1,
            refused=refused,
            progress=lambda *stage, stages=stages: stages.append(stage),
        )
        assert list(refused) == [1]
        assert "bad.png" in refused[1]
        assert cohort.entries == (entries[0], entries[2])
        assert cohort.labels.tolist() == [entries[0].label, entries[2].label]
        assert len(cohort.images) == len(cohort.content) == len(cohort.quality) == 2
        assert stages[-1] == ("prepare", 1.0)
    with pytest.raises(InputError, match=r"None of the 1 images .*bad\.png"):
        load_cohort(entries[1:2], settings, tmp_path / "prepared", jobs=1, refused={})


def test_an_image_that_must_not_be_predicted_is_refused_only_on_request(
    squares, settings, tmp_path
):
    """The reason is kept with the prepared image, as `Prepared.refusal` gave it."""
    entries = read_table(squares)[:2]
    folder = tmp_path / "prepared"
    load_cohort(entries[:1], settings, folder, jobs=1)
    (place,) = folder.glob("*.npz")
    with np.load(place) as stored:
        assert str(stored["refusal"]) == ""
        changed = dict(stored) | {"refusal": "It is upside down."}
    np.savez_compressed(place, **changed)
    assert len(load_cohort(entries, settings, folder, jobs=1).labels) == 2
    refused = {}
    assert len(load_cohort(entries, settings, folder, jobs=1, refused=refused).labels) == 1
    assert refused == {0: "It is upside down."}
    del changed["refusal"]  # of a former version
    np.savez_compressed(place, **changed)
    assert len(load_cohort(entries, settings, folder, jobs=1, refused={}).labels) == 2
