"""Tests of `studies.untrained_baseline`."""

from __future__ import annotations

import numpy as np
import torch
from helpers.hand_made import FLAT, cohort, pictures

from expert.comparison import compare_images
from expert.evaluation.explanation_metrics import measure_explanations
from expert.model import PrototypeRegressor
from expert.schema import Architecture
from studies.untrained_baseline import untrained


def test_the_control_is_of_the_same_kind_and_untrained():
    images = pictures(FLAT, 8, 1)
    architecture = Architecture(widths=(4,), pool=2, channels=8, prototypes=5, radius=6.0)
    net = PrototypeRegressor(architecture, (6, 5))
    (one, sources), (again, _) = (untrained(net, FLAT, cohort(FLAT, images), 3) for _ in range(2))
    assert torch.equal(one.prototypes, again.prototypes)
    assert not torch.equal(
        one.prototypes, untrained(net, FLAT, cohort(FLAT, images), 4)[0].prototypes
    )
    assert len({*sources}) == 5
    out = measure_explanations(one, FLAT, cohort(FLAT, images), subjects=3, source_subjects=sources)
    assert out.own_left_out > 0
    assert not np.isnan(compare_images(one, images[:1], np.full_like(images[:1], 255)).prediction)
