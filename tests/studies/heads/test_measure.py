"""Measures of brain finding and registration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.imaging.brain_finding import find_brain
from expert.imaging.registration import register
from studies.heads.changes import Head
from studies.heads.measure import (
    Registered,
    brain_dice,
    center_spread,
    examine,
    map_in_processes,
    read_head,
    registered,
)


def ignore(stage: str, done: float) -> None:
    """No progress is shown."""


def test_dice_of_itself(head):
    volume = head.canonical()
    found = find_brain(volume)
    there = np.linalg.inv(found.affine) @ volume.affine
    index = np.indices(volume.shape).reshape(3, -1)
    place = np.rint(there[:3, :3] @ index + there[:3, 3:]).astype(int)
    inside = ((place >= 0) & (place < np.array(found.brain.shape)[:, None])).all(axis=0)
    mask = np.zeros(index.shape[1], bool)
    mask[inside] = found.brain[tuple(place[:, inside])] > 0.5
    whole = Head(volume, mask.reshape(volume.shape))
    assert brain_dice(whole, found, np.eye(4), volume) > 0.95
    shifted = replace(whole, mask=np.roll(whole.mask, 20, 0))
    assert brain_dice(shifted, found, np.eye(4), volume) < 0.9


def test_spread_of_centres():
    rows = [
        Registered(1, 1, 1, 1, {58: np.array([x, 0.0, 0.0])}, 0.1, "")
        for x in (-2.0, 2.0, 2.0, -2.0)
    ]
    assert center_spread(rows) == pytest.approx(2.0)


@pytest.mark.slow
def test_a_real_head(ixi):
    file = sorted((ixi / "T1").glob("*.nii.gz"))[0]
    whole = read_head(file, ixi / "brain_mask")
    good = examine(whole, "turned by 30° about up", 0)
    assert not good.refused
    assert good.dice > 0.85
    assert good.distance_mm < 5
    wrong = examine(whole, "noise alone", 0)
    assert wrong.refused
    row = registered(file, ixi / "brain_mask", ixi / "dlmuse")
    assert row.brain > 0.9
    assert row.white > 0.6
    assert not row.refused
    assert register(whole.volume).acceptable


def test_results_keep_their_order():
    assert list(map_in_processes(divmod, [(7, 2), (9, 4)], 1, ignore)) == [(3, 1), (2, 1)]
