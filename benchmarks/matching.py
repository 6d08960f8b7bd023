"""Measure matching: plans of all pairs against POT's batch solver, and plans between neighbours.

    python benchmarks/matching.py

Random features whose plans are as concentrated as real ones. Both solvers run until the same
marginal error, in double precision, alternately; medians.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable

import numpy as np
import torch

from expert.features.local_transport import local_plan, neighbourhood
from expert.transport import pairwise_distance, transport_plan

REGULARIZATION = 0.1
TOLERANCE = 1e-5


def median_ms(call: Callable[[], object], repeats: int = 5) -> float:
    """Median time of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def costs(prototypes: int, patches: int, channels: int = 16) -> torch.Tensor:
    """(1, P, M, M) distances of patches that resemble their own place in the other image."""
    random = torch.Generator().manual_seed(1)
    place = torch.rand(patches, channels, generator=random, dtype=torch.double)

    def image() -> torch.Tensor:
        return place + 0.3 * torch.rand(patches, channels, generator=random, dtype=torch.double)

    first = image()
    return torch.stack([pairwise_distance(first, image()) for _ in range(prototypes)])[None]


def all_pairs(patches: tuple[int, ...], prototypes: int) -> None:
    """Plans between all patches, against POT."""
    from ot.batch import solve_batch

    print(f"Plans of all pairs, {prototypes} prototypes, ms:\n")
    print("| patches | `transport_plan` | POT `solve_batch` | ratio | marginal error: ours, POT |")
    print("|---:|---:|---:|---:|---|")
    for count in patches:
        some = prototypes if count < 500 else min(prototypes, 3)
        cost = costs(some, count)
        uniform = torch.full((some, count), 1 / count, dtype=torch.double)

        def ours(cost: torch.Tensor = cost) -> torch.Tensor:
            return transport_plan(cost, REGULARIZATION, tolerance=TOLERANCE).flow[0]

        def pot(cost: torch.Tensor = cost, uniform: torch.Tensor = uniform) -> torch.Tensor:
            return solve_batch(
                cost[0], REGULARIZATION, uniform, uniform, max_iter=2000, tol=TOLERANCE / 10,
                method="log_sinkhorn", grad="detach",
            ).plan  # fmt: skip

        errors = [float((plan().sum(2) - 1 / count).abs().max()) for plan in (ours, pot)]
        first, second = median_ms(ours, 3), median_ms(pot, 3)
        print(
            f"| {count} ({some} prototypes) | {first:.0f} | {second:.0f} | {second / first:.1f} | "
            f"{errors[0]:.0e}, {errors[1]:.0e} |",
            flush=True,
        )


def neighbours(prototypes: tuple[int, ...]) -> None:
    """Plans between neighbours, as in `brain-age`: time against the number of prototypes."""
    near = neighbourhood((10, 12, 10), 2.0)
    random = torch.Generator().manual_seed(1)
    mass = torch.full((1200,), 1 / 1200)
    print("\nPlans between neighbours, 1,200 patches, 33 partners each:\n")
    print("| prototypes | ms | ms per prototype |\n|---:|---:|---:|")
    for count in prototypes:
        cost = torch.rand(count, *near.partners.shape, generator=random)
        cost = cost.masked_fill(near.partners == 1200, torch.inf)
        target = mass.expand(count, -1)
        took = median_ms(
            lambda cost=cost, target=target: local_plan(
                cost, mass, target, near, 0.2, relaxation=0.2
            ),
            3,
        )
        print(f"| {count} | {took:.0f} | {took / count:.2f} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, nargs="+", default=[30, 150, 700])
    parser.add_argument("--prototypes", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    load = os.getloadavg()[0]
    print(f"Load before: {load:.2f} on {os.cpu_count()} cores; threads: {chosen.threads}.\n")
    all_pairs(tuple(chosen.patches), chosen.prototypes)
    neighbours((16, 33, 65, 130))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the process: {peak:.0f} MB.")


if __name__ == "__main__":
    main()
