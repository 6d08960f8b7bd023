"""Measure `explain`: its stages, a first and a second call, memory, and beside a busy process.

    python benchmarks/explain.py
    python benchmarks/explain.py --head IXI012.nii.gz --model brain-age --data IXI

A synthetic head by default. Every row is measured in a new process with the default threads.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

BUSY = "while True: sum(range(10000))"
MEASURE = """
import sys, time, resource
from dataclasses import replace
start = time.perf_counter()
import expert
from expert.inference import ExplainCache, warm_up
from expert.datasets.phantom import phantom
head, name, data, zoom = sys.argv[1:5]
# Another image in each call: coordinates of known images are kept.
volumes = [phantom(40 + 5 * n, n) for n in range(6)]
if head:
    one = expert.read_volume(head)
    volumes = [replace(one, data=one.data * (1 + 0.02 * n)) for n in range(6)]
if zoom != "1":
    from expert.imaging.conforming import regular_grid
    volumes = [regular_grid(one, float(zoom)) for one in volumes]
model = expert.load_model(name)
data = data or None

def stages(volume, cache=None, top=5):
    marks = {}
    begin = time.perf_counter()
    def mark(stage, fraction):
        marks.setdefault(stage, time.perf_counter())
    expert.explain(model, volume, top=top, data=data, cache=cache, progress=mark)
    moments = [*marks.values(), time.perf_counter()]
    parts = {a: c - b for a, b, c in zip(marks, moments, moments[1:])}
    return time.perf_counter() - begin, parts

def row(name, found):
    took, parts = found
    text = " | ".join(f"{parts[stage]:.2f}" for stage in ("register", "features", "match"))
    print(f"{name} | {took:.2f} | {text}")

if sys.argv[5] == "first":
    row("first call of a process", stages(volumes[0]))
else:
    warm_up(model)
    row("first call after `warm_up`", stages(volumes[0]))
    found = sorted((stages(one) for one in volumes[1:]), key=lambda pair: pair[0])
    row("warm, median of 5", found[2])
    cache = ExplainCache()
    stages(volumes[0], cache)
    row("the same image again, more prototypes", stages(volumes[0], cache, 8))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory, MB | {peak:.0f} | | |")
"""


def measured(arguments: argparse.Namespace, zoom: str, which: str) -> list[str]:
    """Rows of one new process."""
    chosen = [str(arguments.head or ""), arguments.model, str(arguments.data or ""), zoom, which]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *chosen], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--head", type=Path, help="a synthetic head if not given")
    parser.add_argument("--model", default="brain-age")
    parser.add_argument("--data", type=Path, help="folder of the prototypes' images")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"Load before: {load:.2f} on {os.cpu_count()} cores. Model: {arguments.model}.\n")
    print("| | seconds | register | features | match |\n|---|---:|---:|---:|---:|")
    for title, zoom, busy in (
        ("2 mm", "2", 0),
        ("1 mm", "1", 0),
        ("2 mm, beside one busy process", "2", 1),
        ("2 mm, beside two busy processes", "2", 2),
    ):
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
        try:
            rows = measured(arguments, zoom, "warm")
            if not busy:
                rows = [*measured(arguments, zoom, "first"), *rows]
        finally:
            for other in others:
                other.kill()
        for row in rows:
            print(f"| {title}: {row} |", flush=True)


if __name__ == "__main__":
    main()
