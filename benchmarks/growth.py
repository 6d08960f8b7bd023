"""Measure how time and memory grow: with prototypes, patches and voxel size.

    python benchmarks/growth.py
    python benchmarks/growth.py --plot docs/images/growth.svg

Every point is measured in a new process, on one thread: the median of three calls after one that is
not counted, and the peak memory over that before the first call. Random features, phantoms. For
cohorts, see cohort.py.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PROTOTYPES = (25, 100, 400, 1600)
PATCHES = (30, 120, 300, 600, 1200)
SPACINGS = (3.0, 2.0, 1.5, 1.0, 0.7)


def all_pairs(prototypes: int, patches: int) -> Callable[[], object]:
    """Distances of one image by plans between all patches."""
    import torch

    from expert.features.transport_distance import Iterations, transport_distance

    random = torch.Generator().manual_seed(1)
    place = torch.rand(64, patches, generator=random)
    # As concentrated as plans of real images: patches resemble their own place.
    image, others = (
        place + 0.3 * torch.rand(n, 64, patches, generator=random) for n in (1, prototypes)
    )
    mass = torch.full((1, patches), 1 / patches)
    steps = Iterations(1e-4, 2000, 0)
    return lambda: transport_distance(
        image, others, mass, mass.expand(prototypes, -1), 0.1, steps
    )  # fmt: skip


def neighbours(prototypes: int, patches: int) -> Callable[[], object]:
    """Plans of one image between neighbouring patches, as in `brain-age`."""
    import torch

    from expert.features.local_transport import BLOCK, local_plan, neighbourhood

    side = round(patches ** (1 / 3))
    near = neighbourhood((side, side, side), 2.0)
    count = side**3
    random = torch.Generator().manual_seed(1)
    mass = torch.full((count,), 1 / count)
    outside = near.partners == count

    def call() -> None:
        for start in range(0, prototypes, BLOCK):
            some = min(BLOCK, prototypes - start)
            cost = torch.rand(some, *near.partners.shape, generator=random)
            cost.masked_fill_(outside, torch.inf)
            local_plan(cost, mass, mass.expand(some, -1), near, 0.2, relaxation=0.2)

    return call


def explained(spacing: float) -> Callable[[], object]:
    """An explanation of a synthetic head by `brain-age`; another head in each call."""
    import expert
    from expert.datasets.phantom import phantom
    from expert.imaging.conforming import regular_grid
    from expert.inference import warm_up

    model = expert.load_model("brain-age")
    warm_up(model)
    heads = iter([regular_grid(phantom(40 + 5 * n, n), spacing) for n in range(4)])
    return lambda: expert.explain(model, next(heads))


def measured(connection: object, make: Callable[..., Callable[[], object]], given: tuple) -> None:
    """Median seconds and peak MB of three calls, sent to the parent."""
    import torch

    torch.set_num_threads(1)
    with torch.inference_mode():
        call = make(*given)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection.send((float(np.median(times)), (peak - before) / 1024, peak / 1024))  # type: ignore[attr-defined]


def in_new_process(make: Callable[..., Callable[[], object]], *given: float) -> tuple[float, ...]:
    """`measured` in a process of its own."""
    own, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=measured, args=(other, make, given)
    )
    process.start()
    other.close()
    found: tuple[float, ...] = own.recv()
    process.join()
    return found


def series() -> dict[str, list[tuple[float, ...]]]:
    """Name of each series to its points (size, seconds, MB more, MB at the peak)."""
    jobs: dict[str, tuple[Callable[[float], tuple[float, ...]], tuple[float, ...]]] = {
        "prototypes, all pairs of 30 patches": (
            lambda n: in_new_process(all_pairs, n, 30),
            PROTOTYPES,
        ),
        "prototypes, neighbours of 1,000 patches": (
            lambda n: in_new_process(neighbours, n, 1000),
            PROTOTYPES,
        ),
        "patches, all pairs, 100 prototypes": (
            lambda n: in_new_process(all_pairs, 100, n),
            PATCHES,
        ),
        "patches, neighbours, 100 prototypes": (
            lambda n: in_new_process(neighbours, 100, n),
            (27, 125, 343, 512, 1331),
        ),
        "voxel size of a head, mm": (lambda n: in_new_process(explained, n), SPACINGS),
    }
    found: dict[str, list[tuple[float, ...]]] = {}
    for name, (measure, sizes) in jobs.items():
        print(f"| {name} | seconds | MB more | MB at the peak |\n|---:|---:|---:|---:|")
        for size in sizes:
            point = (size, *measure(int(size) if size == int(size) else size))
            found.setdefault(name, []).append(point)
            print(f"| {size:g} | {point[1]:.3f} | {point[2]:.0f} | {point[3]:.0f} |", flush=True)
        print()
    return found


def plot(found: dict[str, list[tuple[float, ...]]], target: Path) -> None:
    """Time and memory against size, double logarithmic, with lines of slope 1 and 2."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(found), figsize=(3.1 * len(found), 5.6))
    for column, (name, points) in enumerate(found.items()):
        sizes, seconds, more, peak = np.array(points).T
        memory = peak if "voxel" in name else np.maximum(more, 0.5)
        for row, (values, unit) in enumerate(((seconds, "s"), (memory, "MB"))):
            panel = axes[row, column]
            panel.loglog(sizes, values, "o-", color="#1f6f8b")
            panel.set_ylim(values.min() / 3, values.max() * 3)
            panel.grid(alpha=0.3)
            panel.set_ylabel(unit)
        axes[0, column].set_title(name.replace(", ", ",\n", 1), fontsize=9)
        axes[1, column].set_xlabel(name.split(",")[0])
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    print(f"Load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores.\n")
    found = series()
    if chosen.plot:
        plot(found, chosen.plot)


if __name__ == "__main__":
    main()
