"""Measure the published architecture: inference and training against its bare backbone.

    python benchmarks/network.py

ResNet-18 on slices of 192 x 160 pixels, 6 x 5 patches, 100 prototypes. The calls take turns;
medians. "As published" are 25 iterations of all plans in the log domain, by POT's batch solver.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch

from expert.losses import metric_loss
from expert.model import PrototypeRegressor, weighted_prediction
from expert.schema import Architecture
from expert.transport import patch_cost

SHAPE = (192, 160)


def alternately(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, after a round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


def published() -> PrototypeRegressor:
    """The published architecture with random weights."""
    torch.manual_seed(1)
    architecture = Architecture()  # its defaults
    network = PrototypeRegressor(architecture, (6, 5))
    network.prototype_labels.copy_(torch.linspace(20, 80, 100))
    return network


def as_published(network: PrototypeRegressor, images: torch.Tensor) -> torch.Tensor:
    """(B, P) distances by plans of 25 iterations in the log domain."""
    from ot.batch import bregman_log_projection_batch

    cost = patch_cost(network.backbone(images), network.prototypes).flatten(0, 1)
    mass = torch.full(cost.shape[:2], 1 / cost.shape[1])
    plans = bregman_log_projection_batch(
        -cost / 0.1, mass, mass, max_iter=25, tol=-1.0, grad="autodiff"
    )["T"]
    return network.scale * (plans * cost).sum((1, 2)).view(len(images), -1)


def inference(network: PrototypeRegressor, batch: int, repeats: int) -> dict[str, float]:
    """Seconds of the backbone alone, with distances and prediction, and with all plans too."""
    images = torch.rand(batch, 1, *SHAPE)
    mass = torch.full((batch, 30), 1 / 30)
    labels = network.prototype_labels
    network.eval()

    def bare() -> object:
        return network.backbone(images)

    def whole() -> object:
        distance = network.training_distance(network.backbone(images), mass, (2000, 0))
        return weighted_prediction(distance, labels, 5.0)

    def with_plans() -> object:
        compared = network.compare(network.backbone(images), mass)
        return weighted_prediction(compared.distance, labels, 5.0), compared.flow

    def published() -> object:
        return weighted_prediction(as_published(network, images), labels, 5.0)

    calls = {
        "backbone": bare,
        "prediction": whole,
        "prediction with plans": with_plans,
        "prediction as published": published,
    }
    with torch.inference_mode():
        return alternately(calls, repeats)


def training(network: PrototypeRegressor, batch: int, repeats: int) -> dict[str, float]:
    """Seconds of forward and backward of the backbone alone, and of a training step.

    The latter without and with the step of the optimiser, which the first has not either.
    """
    images, ages = torch.rand(batch, 1, *SHAPE), torch.linspace(20, 80, batch)
    mass = torch.full((batch, 30), 1 / 30)
    optimizer = torch.optim.Adam(network.parameters(), 1e-5)
    network.train()

    def bare() -> None:
        network.zero_grad()
        network.backbone(images).square().mean().backward()

    def gradient() -> None:
        optimizer.zero_grad()
        distance = network.training_distance(network.backbone(images), mass)
        metric_loss(distance, ages, network.prototype_labels).backward()

    def step() -> None:
        gradient()
        optimizer.step()

    def published() -> None:
        optimizer.zero_grad()
        metric_loss(as_published(network, images), ages, network.prototype_labels).backward()
        optimizer.step()

    calls = {
        "backbone": bare,
        "gradient": gradient,
        "training step": step,
        "training step as published": published,
    }
    return alternately(calls, repeats)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    load = os.getloadavg()[0]
    print(f"Load before: {load:.2f} on {os.cpu_count()} cores; threads: {chosen.threads}.\n")
    network = published()
    print("| images | | ms | ratio |\n|---:|---|---:|---:|")
    print_rows(1, inference(network, 1, chosen.repeats * 5))
    print_rows(30, inference(network, 30, chosen.repeats))
    print_rows(30, training(network, 30, chosen.repeats))


def print_rows(batch: int, seconds: dict[str, float]) -> None:
    """Rows of the table: times, and ratios to the first one."""
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"| {batch} | {name} | {1000 * value:.0f} | {value / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
