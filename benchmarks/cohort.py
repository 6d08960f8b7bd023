"""Measure `expert predict` on many images: images per minute with 1, 2 … workers, and memory.

    python benchmarks/cohort.py
    python benchmarks/cohort.py ixi/T1/*.nii.gz --model brain-age --heads 100 --workers 1 2 4

Synthetic heads by default. Images are used again until there are as many as asked for; `brain-age`
is faster for an image that it has seen among the last eight. The rate is that after the start of
the workers, which is stated separately. CPU seconds per image say whether workers disturb each
other, or other programs take the cores. Memory is the resident memory of all processes of the
command: first the command, then its workers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from expert.cohort.inputs import Item
from expert.cohort.rows import Options
from expert.cohort.runner import predict_rows
from expert.model_file import load_model

POINTS = 6
"""Times in a run at which memory is printed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--model", default="phantom")
    parser.add_argument("--heads", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = arguments.images or synthetic_heads(Path(folder), 8)
        items = [Item(f"{n}", images[n % len(images)].absolute()) for n in range(arguments.heads)]
        print(
            f"{arguments.model}, {len(items)} images of {len(images)} files, {os.cpu_count()} cores"
        )
        rates = {number: measure(arguments.model, items, number) for number in arguments.workers}
    first = next(iter(rates))
    for number, rate in rates.items():
        print(
            f"{number} workers: {rate:.1f} images per minute, {rate / rates[first]:.2f} times "
            f"those of {first}"
        )


def synthetic_heads(folder: Path, number: int) -> list[Path]:
    from expert.datasets.phantom import write_cohort

    write_cohort(folder, number, 1)
    return sorted(folder.glob("*.nii.gz"))


def measure(model: str, items: Sequence[Item], workers: int) -> float:
    """Images per minute; prints time, errors and memory."""
    loaded = load_model(model)
    start = time.perf_counter()
    times, errors, busy = [], 0, 0.0
    skipped = 2 * workers  # the first ones wait for the start
    every = max(1, len(items) // POINTS)
    for row in predict_rows(loaded, items, Options(), workers=workers):
        times.append(time.perf_counter() - start)
        errors += bool(row["error"])
        if len(times) == skipped:
            busy = cpu_seconds()
        if len(times) % every == 0:
            memory = " ".join(f"{size:.0f}" for size in resident_mib())
            load = os.getloadavg()[0]
            when = f"{len(times)} images, {times[-1]:.0f} s, load {load:.1f}"
            print(f"  {when}: {memory} MiB", flush=True)
        if len(times) == len(items):
            busy = cpu_seconds() - busy
    rate = 60 * (len(times) - skipped) / (times[-1] - times[skipped - 1])
    print(
        f"{workers} workers: first image after {times[0]:.1f} s, then {rate:.1f} per minute, "
        f"{busy / (len(times) - skipped):.2f} CPU s each; {errors} errors"
    )
    return rate


def processes() -> list[psutil.Process]:
    """This process and its workers."""
    own = psutil.Process()
    children = own.children(recursive=True)
    return [own, *(child for child in children if "spawn_main" in " ".join(child.cmdline()))]


def cpu_seconds() -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes())


def resident_mib() -> list[float]:
    return [process.memory_info().rss / 2**20 for process in processes()]


if __name__ == "__main__":
    sys.exit(main())
