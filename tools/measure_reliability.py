"""Measure what docs/reliability.md states: same head, same result; interrupted work; hostile files.

    python tools/measure_reliability.py                        # everything, at most half an hour
    python tools/measure_reliability.py same --heads a.nii.gz b.nii.gz
    python tools/measure_reliability.py interrupted --times 20
    python tools/measure_reliability.py window --heads a.nii.gz --ultrasound b.png

Prints tables in Markdown. Work is killed with SIGKILL at random moments; a limit of the size of
files stands for a full disk. Exit code 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from helpers.file_server import FileServer

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
PARTS = ("same", "repeated", "interrupted", "window", "hostile")
CORPORA = ("tests/untrusted", "tests/imaging/formats", "tests/imaging/dicom", "tests/datasets")
"""Tests that make damaged, hostile and odd files, one by one."""


def same(heads: list[Path], model: str, kinds: list[str]) -> int:
    """The same head as other files and on other grids; only some kinds, by their first words."""
    from reliability.same_answer import Variant, measure, variants

    import expert
    from expert.datasets.phantom import phantom

    loaded = expert.load_model(model)
    volumes = [expert.read_volume(path) for path in heads] or [phantom(50, 1)]
    found: list[Variant] = []
    for volume in volumes:
        with tempfile.TemporaryDirectory() as folder:
            every = variants(volume, Path(folder))
            chosen = (one for one in every if one[0].startswith(tuple(kinds)))
            found += measure(loaded, volume, chosen)
    unit = loaded.info.label.unit
    print(f"{loaded.info.name}, {len(volumes)} head(s), differences in {unit}:\n")
    print(
        "| variant | inputs | mean difference | largest | within 0.5 | refused | with a warning | "
        "above 2 without one |\n|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    for kind in dict.fromkeys(one.kind for one in found):
        group = [one for one in found if one.kind == kind]
        gaps = np.abs([one.difference for one in group if one.prediction is not None])
        mean, most = (f"{f(gaps):.2f}" if len(gaps) else "" for f in (np.mean, np.max))
        silent = sum(abs(one.difference) > 2 and not one.flagged for one in group)
        print(
            f"| {kind} | {len(group)} | {mean} | {most} | {int((gaps <= 0.5).sum())} | "
            f"{sum(one.prediction is None for one in group)} | "
            f"{sum(one.flagged for one in group)} | {silent} |",
            flush=True,
        )
    mirrored = sum(one.mirrored for one in found)
    print(f"\nLeft and right exchanged: {mirrored} of {len(found)}.\n")
    return mirrored


def repeated(model: str) -> int:
    """One head with other numbers of threads, in other company, and again."""
    import torch

    import expert
    from expert.cohort.inputs import Item
    from expert.cohort.rows import Options
    from expert.cohort.runner import predict_rows
    from expert.datasets.phantom import phantom
    from expert.imaging.volume import write_volume

    loaded, gaps = expert.load_model(model), {}
    heads = [phantom(40 + 10 * n, n) for n in range(4)]
    usual = [expert.explain(loaded, head).prediction for head in heads]
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        again = [expert.explain(loaded, head).prediction for head in heads]
        gaps[f"{threads} threads"] = np.subtract(again, usual)
    with tempfile.TemporaryDirectory() as folder:
        items = []
        for number, head in enumerate(heads):
            path = Path(folder) / f"{number}.nii.gz"
            write_volume(head, path)
            items.append(Item(path.name, path))
        read = [expert.explain(loaded, expert.read_volume(item.path)).prediction for item in items]
        for title, order, workers in (
            ("cohort, one process", items, 1),
            ("cohort, two workers, reversed", items[::-1], 2),
        ):
            rows = {
                row["input"]: float(row["prediction"])
                for row in predict_rows(loaded, order, Options(), workers=workers)
            }
            gaps[title] = np.subtract([rows[item.name] for item in items], read)
    print("| the same four heads | largest difference |\n|---|---:|")
    for title, gap in gaps.items():
        print(f"| {title} | {np.abs(gap).max():.1g} |")
    print()
    return int(any(np.abs(gap).max() > 1e-3 for gap in gaps.values()))


def interrupted(times: int) -> int:
    """Kills, full disks and Ctrl-C."""
    from reliability import interruptions

    from expert.datasets.phantom import phantom
    from expert.imaging.volume import write_volume

    print("| work | expected | times | not so | |\n|---|---|---:|---:|---|")
    problems = 0
    for work in ("training", "cohort", "saving", "downloads", "full_disk", "cancelled"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if work == "full_disk":
                found = interruptions.full_disk(folder)
            elif work == "cancelled":
                write_volume(phantom(50, 1), folder / "head.nii.gz")
                found = interruptions.cancelled(folder, times, folder / "head.nii.gz")
            else:
                found = [getattr(interruptions, work)(folder, times)]
        for one in found:
            count = len(one.problems)
            print(
                f"| {one.work} | {one.expected} | {one.times} | {count} | {one.remark} |",
                flush=True,
            )
            for problem in one.problems:
                print(problem, file=sys.stderr)
            problems += count
    print()
    return problems


def window(times: int, heads: list[Path], ultrasound: Path | None) -> int:
    """Cancel in the window at random moments; work that has no Cancel."""
    from helpers.file_server import serving

    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        print('No display: run this part with xvfb-run -a -s "-screen 0 1600x1000x24".\n')
        return 0
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        # Neither the user's settings nor images that were downloaded are touched.
        os.environ |= {
            "NAPARI_CONFIG": str(Path(name, "settings.yaml")),
            "XDG_CACHE_HOME": str(Path(name, "cache")),
            "EXPERT_MIRROR": server.address,
            "NO_PROXY": "127.0.0.1",
        }
        return _window(Path(name), server, times, heads, ultrasound)


def _window(
    folder: Path, server: FileServer, times: int, heads: list[Path], ultrasound: Path | None
) -> int:
    from helpers.dicom_files import series, write
    from helpers.drawn_heads import drawn_head
    from helpers.referring import make_referring
    from qtpy.QtWidgets import QApplication
    from reliability import cancelling

    import expert
    from expert.datasets.phantom import phantom

    application = QApplication.instance() or QApplication([])
    assert application is not None
    drawn = phantom(50, 1)
    volume = expert.read_volume(heads[0]) if heads else drawn
    plain = expert.read_volume(ultrasound) if ultrasound else drawn_head()
    images = {"brain-age": volume, "ixi-volume": volume, "fetal-head": plain}
    found = [
        cancelling.runs(f"run, `{model}`", model, image, times) for model, image in images.items()
    ]
    referring = make_referring(drawn, folder)
    server.folder, server.pause_s = referring.data, 0.05
    with cancelling.window(str(referring.file), drawn) as (_, panel):
        panel.run()
        cancelling.wait(lambda: panel.job is None)
        found.append(cancelling.downloads(panel.result.fetch, 0.5, times))
    print(
        "| work | times | ready again: median, s | longest | in the background: median, s "
        "| longest | problems |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    for one in found:
        print(one.row)
        for problem in one.problems:
            print(problem, file=sys.stderr)
    with cancelling.window("brain-age", volume) as (_, panel):
        panel.run()
        cancelling.wait(lambda: panel.job is None)
        other = expert.explain(expert.load_model("brain-age"), drawn, force=True)
        (folder / "dicom").mkdir()
        slices = series(np.asarray(drawn.canonical().data, np.uint16), drawn.canonical().affine)
        write(folder / "dicom", slices)
        seconds = cancelling.blocked(panel, other, folder, folder / "dicom")
    print("\n| work without Cancel | the window does not answer, s |\n|---|---:|")
    for work, taken in seconds.items():
        print(f"| {work} | {taken:.2f} |")
    print()
    late = sum(second > cancelling.LIMIT_S for one in found for second in one.seconds)
    return late + sum(len(one.problems) for one in found)


def hostile(executions: int) -> int:
    """The corpora of odd files, and a short fuzzing of every target."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CORPORA]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(f"Corpora of damaged, hostile and odd files: {done.stdout.strip().splitlines()[-1]}\n")
    problems = done.returncode
    from fuzzing.targets import TARGETS

    for target in TARGETS:
        run = subprocess.run(
            [sys.executable, "tools/fuzz.py", target, "--executions", str(executions)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        print(run.stdout.strip(), flush=True)
        problems += run.returncode
    return problems


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=" ".join(PARTS))
    parser.add_argument("--model", default="brain-age")
    parser.add_argument("--heads", type=Path, nargs="*", default=[], help="a phantom if not given")
    parser.add_argument("--kinds", nargs="*", default=[""], help="of variants of a head")
    parser.add_argument("--ultrasound", type=Path, help="a drawn image if not given")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--executions", type=int, default=2000)
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}: choose of {', '.join(PARTS)}")
    problems = 0
    for part in chosen.parts:
        start = time.monotonic()
        problems += {
            "same": lambda: same(chosen.heads, chosen.model, chosen.kinds),
            "repeated": lambda: repeated(chosen.model),
            "interrupted": lambda: interrupted(chosen.times),
            "window": lambda: window(chosen.times, chosen.heads, chosen.ultrasound),
            "hostile": lambda: hostile(chosen.executions),
        }[part]()
        print(f"({part}: {time.monotonic() - start:.0f} s)\n", flush=True)
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
