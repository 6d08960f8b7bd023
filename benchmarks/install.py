"""Measure the installation without extras: disk, and imports of the first steps.

    python benchmarks/install.py

Run it with the Python of the environment to measure.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from importlib import metadata

LARGEST = 12
STEPS = {
    "nothing": "pass",
    "`import expert`": "import expert",
    "`import napari_expert`": "import napari_expert",
    "`expert --help`": "sys.argv = ['expert', '--help']; from expert.cli.main import app; app()",
    "`load_model('brain-age')`": "from expert.model_file import load_model; "
    "load_model('brain-age').network",
    "`load_model('phantom')`": "from expert.model_file import load_model; "
    "load_model('phantom').network",
}
COUNT = "import atexit, sys; atexit.register(lambda: print(len(sys.modules), file=sys.stderr)); "


def required(name: str, found: dict[str, metadata.Distribution]) -> None:
    """Add an installed package and what it requires here, without extras."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:  # for other systems or versions of Python
        return
    if key in found:
        return
    found[key] = distribution
    for requirement in distribution.requires or ():
        if "extra ==" not in requirement:
            required(re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0], found)


def disk_mb(distribution: metadata.Distribution) -> float:
    """Space of a package's files on the disk, as `du` counts it."""
    files = {file.locate() for file in distribution.files or ()}
    return sum(512 * os.stat(file).st_blocks for file in files if os.path.isfile(file)) / 1e6  # noqa: PTH113, PTH116


def step(code: str) -> tuple[int, float]:
    """Imported modules and CPU seconds of a new process; the second of two runs."""
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", COUNT + code], capture_output=True, text=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(done.stderr.split()[-1]), seconds


def main() -> None:
    found: dict[str, metadata.Distribution] = {}
    required("napari-expert", found)
    sizes = {name: disk_mb(one) for name, one in found.items()}
    print(f"{len(sizes)} packages, {sum(sizes.values()):.0f} MB; the largest:\n")
    print("| package | MB |\n|---|---:|")
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True)[:LARGEST]:
        print(f"| {name} {found[name].version} | {sizes[name]:.0f} |")
    print("\n| step | modules | CPU seconds |\n|---|---:|---:|")
    for name, code in STEPS.items():
        modules, seconds = step(code)
        print(f"| {name} | {modules:,} | {seconds:.2f} |")
    print(f"\nLoad of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
