"""Measure the published architecture: inference and training against its bare backbone.

    python benchmarks/network.py

ResNet-18 on slices of 192 x 160 pixels, 6 x 5 patches, 100 prototypes. The calls take turns;
medians.
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


def inference(network: PrototypeRegressor, batch: int, repeats: int) -> tuple[float, float]:
    """Seconds of the backbone alone, and with matching and prediction."""
    images = torch.rand(batch, 1, *SHAPE)
    mass = torch.full((batch, 30), 1 / 30)
    labels = network.prototype_labels
    network.eval()

    def bare() -> object:
        return network.backbone(images)

    def whole() -> object:
        features = network.backbone(images)
        with_plans = network.match_patches(
            features, network.prototypes, mass, network.prototype_mass, tolerance=1e-4
        )
        return weighted_prediction(with_plans.distance, labels, 5.0)

    with torch.inference_mode():
        found = alternately({"bare": bare, "whole": whole}, repeats)
    return found["bare"], found["whole"]


def training(network: PrototypeRegressor, batch: int, repeats: int) -> tuple[float, float]:
    """Seconds of forward and backward of the backbone alone, and of a training step."""
    images, ages = torch.rand(batch, 1, *SHAPE), torch.linspace(20, 80, batch)
    mass = torch.full((batch, 30), 1 / 30)
    optimizer = torch.optim.Adam(network.parameters(), 1e-5)
    network.train()

    def bare() -> None:
        network.zero_grad()
        network.backbone(images).square().mean().backward()

    def whole() -> None:
        optimizer.zero_grad()
        distance = network.training_distance(network.backbone(images), mass)
        metric_loss(distance, ages, network.prototype_labels).backward()
        optimizer.step()

    found = alternately({"bare": bare, "whole": whole}, repeats)
    return found["bare"], found["whole"]


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
    print("| | backbone, ms | ExPeRT, ms | ratio |\n|---|---:|---:|---:|")
    for batch in (1, 30):
        bare, whole = inference(network, batch, chosen.repeats * (5 if batch == 1 else 1))
        row = f"{1000 * bare:.0f} | {1000 * whole:.0f} | {whole / bare:.2f}"
        print(f"| inference, batch of {batch} | {row} |", flush=True)
    bare, whole = training(network, 30, chosen.repeats)
    row = f"{1000 * bare:.0f} | {1000 * whole:.0f} | {whole / bare:.2f}"
    print(f"| training step, batch of 30 | {row} |")


if __name__ == "__main__":
    main()
