"""Tests of `studies.corrupted.corruptions`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.imaging.volume import Volume
from studies.corrupted import inputs
from studies.corrupted.corruptions import CORRUPTIONS, MIRRORED, SYNTHETIC, UNCHANGED
from studies.corrupted.report import Assessment

AFFINE = np.array([[0.0, 0, 2, -88], [-2, 0, 0, 118], [0, 2, 0, -135], [0, 0, 0, 1]])
"""Array axes P, S, R, as in many a file."""


def copies(monkeypatch, volumes: list[Volume], seed: int = 0) -> dict[str, list[Volume]]:
    """What the study would ask about, without asking."""
    seen: dict[str, list[Volume]] = {}

    def remember(model, kind, volume):
        seen.setdefault(kind, []).append(volume)
        return Assessment(kind), None

    monkeypatch.setattr(inputs, "assess", remember)
    assert [answer.kind for answer in inputs._assessments(None, volumes, (), seed)] == [
        *seen
    ] * len(volumes)
    return seen


@pytest.fixture
def drawn() -> Volume:
    """A smooth block with its own value in every corner, in array axes P, S, R."""
    p, s, r = np.meshgrid(*[np.linspace(0, 1, n) for n in (24, 32, 20)], indexing="ij")
    wave = 100 + 60 * np.sin(9 * p) * np.cos(7 * s) * np.sin(8 * r + 1)
    return Volume((wave + 200 * s + 100 * r).astype(np.int16), AFFINE)


def test_copies_of_any_axis_order_are_what_their_names_say(monkeypatch, drawn):
    seen = {kind: one[0] for kind, one in copies(monkeypatch, [drawn]).items()}
    assert {*CORRUPTIONS, UNCHANGED, SYNTHETIC} == set(seen)
    head = drawn.canonical()
    data = head.data.astype(np.float32)  # R, A, S
    assert seen[UNCHANGED] is drawn
    for kind in CORRUPTIONS:
        np.testing.assert_array_equal(seen[kind].affine, head.affine, kind)
        assert seen[kind].space == "ras", kind
    np.testing.assert_array_equal(seen[MIRRORED].data, data[::-1])
    np.testing.assert_array_equal(seen["back to front"].data, data[:, ::-1])
    np.testing.assert_array_equal(seen["upside down"].data, data[:, :, ::-1])
    turned = [seen[kind].data.shape for kind in CORRUPTIONS if kind.startswith("turned by 90°")]
    assert turned == [(20, 32, 24), (32, 24, 20), (24, 20, 32)]
    assert not seen["upper half black"].data[:, :, 16:].any()
    np.testing.assert_array_equal(seen["upper half black"].data[:, :, :16], data[:, :, :16])
    assert not seen["lower half black"].data[:, :, :16].any()
    np.testing.assert_array_equal(seen["right half black"].data[:10], data[:10])
    assert not seen["right half black"].data[10:].any()
    np.testing.assert_array_equal(seen["right half cut away"].data, data[:10])
    assert set(np.unique(seen["its outline (threshold mask)"].data)) <= {0, 1}
    assert not seen["all zeros"].data.any()
    assert np.ptp(seen["constant"].data) == 0


def test_a_blurred_copy_lost_its_detail_and_a_noisy_one_has_the_noise_it_should(monkeypatch, drawn):
    generator = np.random.default_rng(2)
    fine = replace(drawn, data=(drawn.data + generator.normal(0, 30, drawn.shape)).astype(np.int16))
    data = fine.canonical().data.astype(np.float32)
    seen = {kind: one[0].data for kind, one in copies(monkeypatch, [fine]).items()}
    blurred = seen["blurred 4-fold"]
    assert blurred.shape == data.shape
    assert np.abs(np.diff(blurred, axis=0)).mean() < 0.5 * np.abs(np.diff(data, axis=0)).mean()
    assert np.corrcoef(blurred.ravel(), data.ravel())[0, 1] > 0.8
    added = seen["noisy"] - data
    assert added.std() == pytest.approx(0.2 * np.percentile(data, 99), rel=0.03)
    assert abs(np.corrcoef(seen["noise alone"].ravel(), data.ravel())[0, 1]) < 0.05


def test_another_seed_is_other_noise_and_other_synthetic_heads(monkeypatch, drawn):
    first, again, other = (copies(monkeypatch, [drawn, drawn], seed) for seed in (0, 0, 1))
    for kind in ("noisy", SYNTHETIC):
        np.testing.assert_array_equal(first[kind][0].data, again[kind][0].data)
        assert (first[kind][0].data != other[kind][0].data).any()
        assert (first[kind][0].data != first[kind][1].data).any()
