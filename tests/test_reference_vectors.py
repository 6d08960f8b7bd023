"""The published method's numbers, and one image's independence of its batch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from expert.losses import consistency_loss, metric_loss
from expert.model import prototype_weights, weighted_prediction
from expert.transport import image_distance, patch_cost, transport_plan

SHARED = Path(os.environ.get("EXPERT_DATA_DIR", Path(__file__).parents[2] / "shared" / "data"))
VECTORS = sorted((SHARED.parent / "reference_vectors").glob("case_*.safetensors"))

pytestmark = pytest.mark.skipif(
    not VECTORS, reason="the published method's reference vectors are not at hand"
)


@pytest.fixture(params=VECTORS, ids=lambda p: p.stem)
def case(request):
    return load_file(request.param)


def test_cost(case):
    torch.testing.assert_close(
        patch_cost(case["features"], case["prototypes"]), case["cost"], rtol=1e-5, atol=1e-6
    )


def test_plan_and_distance(case):
    plan = transport_plan(case["cost"], 0.1)
    assert plan.marginal_error.max() <= 1e-4
    torch.testing.assert_close(plan.flow, case["flow_converged"].float(), rtol=0, atol=1e-4)
    distance = image_distance(plan.flow, case["cost"], case["scale"])
    torch.testing.assert_close(distance, case["distance_converged"].float(), rtol=0, atol=1e-4)


def test_weights_and_prediction(case):
    radius = float(case["radius"])
    out = weighted_prediction(case["distance"], case["prototype_labels"], radius)
    # The reference reports a fallback as weight 1 for the nearest prototype, as
    # `weighted_prediction` does.
    torch.testing.assert_close(out.weights, case["weights"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(out.prediction, case["prediction"].reshape(-1), rtol=1e-5, atol=1e-5)
    inside = (case["distance"] <= radius).any(dim=1)
    assert torch.equal(out.fallback, ~inside)
    raw = prototype_weights(case["distance"], radius)
    torch.testing.assert_close(raw[inside], case["weights"][inside], rtol=1e-5, atol=1e-7)
    assert (raw[~inside] == 0).all()


def test_losses(case):
    loss = metric_loss(case["distance"], case["labels"], case["prototype_labels"])
    torch.testing.assert_close(loss, case["metric_loss"].reshape(()), rtol=1e-5, atol=1e-6)
    loss = consistency_loss(case["features"], case["features_flipped"])
    torch.testing.assert_close(loss, case["consistency_loss"].reshape(()), rtol=1e-5, atol=1e-6)
