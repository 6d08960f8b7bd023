"""Tests of `expert.training.histogram_cache`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.hand_made import FLAT, pictures

from expert.backbone import HistogramBackbone
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.training import histogram_cache
from expert.training.histogram_cache import HistogramCopies, as_input


def test_copies_are_changed_the_same_way_every_time(tissue_recipe, volume_table, tmp_path):
    from expert.training import histogram_cache as counted

    cohort = load_cohort(read_table(volume_table), tissue_recipe.input, tmp_path)
    made = HistogramCopies(cohort, tissue_recipe, 3)
    assert len(made) == 3 * len(cohort.labels)
    assert made.histograms.shape == (len(cohort.labels), 3, 13, 4, 5, 4)
    own = HistogramBackbone(tissue_recipe.architecture).soft_histogram(
        torch.from_numpy(cohort.images[2])[:, None].float() / 255
    )
    torch.testing.assert_close(made.histograms[2, 0].float(), own[0], atol=2e-3, rtol=2e-3)
    assert not torch.allclose(made.histograms[2, 0], made.histograms[2, 1])
    counted._KNOWN.clear()
    few = HistogramCopies(cohort.select(np.array([4, 2])), tissue_recipe, 3)
    torch.testing.assert_close(few.histograms[1], made.histograms[2])
    front, content, label, row, plane = few[1]
    assert (row, plane) == (1, 0)
    assert label == pytest.approx(cohort.labels[2])
    assert front[-1].sum() == pytest.approx(content.sum().item(), rel=0.2)


def test_the_same_image_has_the_same_copies_in_every_fold(registered_recipe, registered_cohort):
    made = HistogramCopies(registered_cohort, registered_recipe, 1)
    assert made.histograms.shape == (8, 3, 7, *registered_recipe.grid)
    histogram_cache._KNOWN.clear()
    few = HistogramCopies(registered_cohort.select(np.array([4, 2])), registered_recipe, 1)
    torch.testing.assert_close(few.histograms[1], made.histograms[2])
    torch.testing.assert_close(few.content[0], made.content[4])
    assert not torch.allclose(made.histograms[2, 0], made.histograms[2, 1])


def test_copies_are_kept_beside_the_prepared_images(
    registered_recipe, registered_cohort, tmp_path, monkeypatch
):
    kept = replace(registered_cohort, folder=tmp_path)
    histogram_cache._KNOWN.clear()
    made = HistogramCopies(kept, registered_recipe, 1)
    assert len(list(tmp_path.glob("counted-*.safetensors"))) == 8
    histogram_cache._KNOWN.clear()
    monkeypatch.setattr(
        histogram_cache, "augmented_copies", lambda *arguments: pytest.fail("computed again")
    )
    torch.testing.assert_close(HistogramCopies(kept, registered_recipe, 1).content, made.content)


def test_a_residual_network_gets_images_and_a_histogram_backbone_histograms(registered_recipe):
    images = pictures(FLAT, 2, 3)
    torch.testing.assert_close(
        as_input(None, images), torch.from_numpy(images)[:, None].float() / 255
    )
    backbone = HistogramBackbone(registered_recipe.architecture)
    counted = as_input(backbone, images)
    torch.testing.assert_close(counted, backbone.soft_histogram(as_input(None, images)))
    torch.testing.assert_close(backbone(counted), backbone(as_input(None, images)))
