"""Tests of `expert.training.projection`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.training.projection import nearest_images, spread_over_labels


def test_projection_variants():
    distance = np.array([[0.1, 0.2, 5.0], [3.0, 3.0, 3.0], [0.3, 0.1, 0.2], [1.0, 1.0, 0.1]])
    labels = np.array([20.0, 40.0, 60.0, 62.0])
    subjects = np.array(["a", "b", "c", "c"])
    wanted = np.array([21.0, 59.0, 61.0])
    published = nearest_images(distance, labels, subjects, wanted, window=None, distinct=False)
    assert published.tolist() == [0, 2, 3]
    aware = nearest_images(
        distance, labels, subjects, np.array([41.0, 59.0, 61.0]), window=5.0, distinct=False
    )
    assert aware.tolist() == [1, 2, 3]
    distinct = nearest_images(distance, labels, subjects, wanted, window=None, distinct=True)
    assert len(set(subjects[distinct])) == 3


def test_prototypes_start_spread_over_the_labels():
    labels = np.concatenate([np.linspace(20, 30, 90), np.linspace(30, 90, 10)])
    rows = spread_over_labels(labels, 8)
    assert len(set(rows.tolist())) == 8
    assert np.sort(labels[rows])[-1] > 80
    assert np.sort(labels[rows])[0] < 25


def test_prototypes_at_quantiles_are_many_where_labels_are_many():
    labels = np.concatenate([np.linspace(30, 90, 10), np.linspace(20, 30, 90, endpoint=False)])
    rows = spread_over_labels(labels, 20, quantiles=True)
    assert len(set(rows.tolist())) == 20
    assert (np.diff(labels[rows]) > 0).all()
    assert labels[rows][[0, -1]].tolist() == [20, 90]
    assert (labels[rows] < 30).sum() == 18
    with pytest.raises(ValueError, match="101 prototypes need as many training subjects"):
        spread_over_labels(labels, 101, quantiles=True)
