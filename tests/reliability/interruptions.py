"""Work that is killed at random moments, and what is left afterwards.

Every function repeats one experiment with real processes and returns a `Finding`. Kills are
SIGKILL at random moments of the work; the seed is fixed, the moments still depend on the machine.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from helpers.file_server import serving
from helpers.processes import heed_ctrl_c
from helpers.recipes import TINY
from helpers.squares import draw_squares
from safetensors.numpy import load_file

RECIPE = TINY.replace("epochs: 4", "epochs: 20")
"""Long enough to be killed within a stage."""
EXPERT = [sys.executable, "-m", "expert.cli"]


@dataclass(frozen=True)
class Finding:
    """What one experiment found."""

    work: str
    expected: str
    times: int
    problems: tuple[str, ...]
    remark: str = ""


def run(*command: object) -> float:
    """Seconds of a command that must succeed."""
    start = time.monotonic()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return time.monotonic() - start


def killed(command: Sequence[object], after: float) -> bool:
    """Start a command and kill it and its children; whether it was still running."""
    process = subprocess.Popen(
        list(map(str, command)),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def squares_model(folder: Path) -> tuple[Path, Path, Path]:
    """Recipe, table and model of small images."""
    recipe, table = folder / "recipe.yaml", draw_squares(folder / "squares", 24, 1)
    recipe.write_text(RECIPE)
    model = folder / "whole.safetensors"
    run(*EXPERT, "train", recipe, "--data", table, "--out", model, "--folds", "2", "--jobs", "1")
    return recipe, table, model


def training(folder: Path, kills: int, seed: int = 0) -> Finding:
    """A training in two folds is killed, and continued by the same command."""
    random, (recipe, table, whole) = Random(seed), squares_model(folder)
    again = folder / "same.safetensors"
    command = [*EXPERT, "train", recipe, "--data", table, "--folds", "2", "--jobs", "1", "--out"]
    took = run(*command, again)
    problems = [] if again.read_bytes() == whole.read_bytes() else ["the same seed differs"]
    hits, trainings, largest = 0, 0, 0.0
    while hits < kills:
        out = folder / f"killed{trainings}.safetensors"
        for _ in range(4):  # kills of one training
            if hits == kills or out.exists():
                break
            hits += killed([*command, out], random.uniform(0.3, 1.0) * took)
        try:
            run(*command, out)
            gap = difference(whole, out)
            largest = max(largest, gap)
            if gap > 1e-3:
                problems.append(f"weights differ by {gap:.2g}")
        except RuntimeError as error:
            problems.append(str(error)[-300:])
        trainings += 1
    return Finding(
        "training (folds, warm-up, projections, calibration)",
        "the same command continues, to the same weights within 1e-3",
        hits,
        tuple(problems),
        f"{trainings} trainings; largest difference of a weight {largest:.1g}",
    )


def difference(one: Path, other: Path) -> float:
    """Largest difference of two models' tensors."""
    first, second = load_file(one), load_file(other)
    if set(first) != set(second):
        return float("inf")
    gaps = [np.abs(first[k].astype(float) - second[k].astype(float)).max() for k in first]
    return float(max(gaps))


def cohort(folder: Path, kills: int, seed: int = 0) -> Finding:
    """A cohort is killed, and continued by the same command."""
    random, (_, _, model) = Random(seed), squares_model(folder)
    table = draw_squares(folder / "many", 200, 5)
    base = [*EXPERT, "predict", table, "--model", model, "--workers", 2]
    whole, problems, hits, runs = folder / "whole.csv", [], 0, 0
    took = run(*base, "--out", whole)
    expected = list(csv.DictReader(whole.open()))
    while hits < kills:
        out = folder / f"killed{runs}.csv"
        for _ in range(4):
            if hits == kills:
                break
            hits += killed([*base, "--out", out], random.uniform(0.4, 1.0) * took)
        try:
            run(*base, "--out", out)
            if list(csv.DictReader(out.open())) != expected:
                problems.append("rows are lost, doubled or changed")
        except RuntimeError as error:
            problems.append(str(error)[-300:])
        runs += 1
    return Finding(
        "cohort of 200 images on two workers",
        "the same command continues; no row lost or doubled",
        hits,
        tuple(problems),
        f"{runs} cohorts",
    )


SAVE = """
import sys, itertools
from pathlib import Path
import expert
from expert.model_file import WEIGHTS, load_model, save_model
model, folder = load_model(sys.argv[1]), Path(sys.argv[2])
explanation = expert.explain(model, expert.read_volume(sys.argv[3], pixel_size_mm=1.0))
from expert.report.csv_export import write_csv
from expert.report.report import write_report
weights = {k.removeprefix(WEIGHTS): v for k, v in model.tensors.items() if k.startswith(WEIGHTS)}
Path(folder / "ready").touch()
for number in itertools.count():
    explanation.save(folder / "e.json")
    write_report(explanation, folder / "r.html")
    write_report(explanation, folder / "r.pdf")
    write_csv(explanation, folder / "p.csv")
    save_model(folder / "m.safetensors", model.info, weights, model.prototype_images)
"""


def saving(folder: Path, kills: int, seed: int = 0) -> Finding:
    """A process that saves files over and over is killed."""
    random, (_, _, model) = Random(seed), squares_model(folder)
    image = folder / "squares" / "square-03.png"
    problems, hits = [], 0
    for _ in range(kills):
        (folder / "ready").unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", SAVE, model, folder, image])
        while not (folder / "ready").exists():
            if process.poll() is not None:
                raise RuntimeError("the saving process ended")
            time.sleep(0.05)
        time.sleep(random.uniform(0.0, 3.0))
        process.kill()
        process.wait()
        hits += 1
        problems += unreadable(folder)
    return Finding(
        "saving explanations, reports (HTML, PDF), tables and models",
        "the former file or the new one, whole",
        hits,
        tuple(problems),
    )


def unreadable(folder: Path) -> list[str]:
    """Which of the saved files are not whole."""
    from expert.explanation import Explanation
    from expert.model_file import load_model

    problems = []
    checks: dict[str, Callable[[Path], object]] = {
        "e.json": Explanation.load,
        "m.safetensors": load_model,
        "r.html": lambda path: path.read_text().rstrip().endswith("</html>") or 1 / 0,
        "r.pdf": lambda path: path.read_bytes().rstrip().endswith(b"%%EOF") or 1 / 0,
        "p.csv": lambda path: path.read_text().endswith("\n") or 1 / 0,
    }
    for name, check in checks.items():
        path = folder / name
        try:
            if path.exists():
                check(path)
        except Exception as error:
            problems.append(f"{name}: {type(error).__name__}")
    return problems


GET = """
import sys
from pathlib import Path
from expert.datasets.download import checksum, download, downloading
address, target = sys.argv[1], Path(sys.argv[2])
with downloading(target, "A", lambda name, fraction: None) as part:
    if not target.is_file():
        download(address, part, "A", lambda name, fraction: None)
        part.replace(target)
"""


def downloads(folder: Path, kills: int, seed: int = 0) -> Finding:
    """A download is killed, and goes on; half of the times two processes want the same file."""
    random, problems, hits, served = Random(seed), [], 0, folder / "served"
    served.mkdir()
    content = Random(1).randbytes(1 << 20)
    (served / "a.nii.gz").write_bytes(content)
    resumed = 0
    with serving(served) as server:
        server.pause_s = 0.02
        for number in range(kills):
            target = folder / f"cache{number}" / "a.nii.gz"
            command = [sys.executable, "-c", GET, f"{server.address}/a.nii.gz", target]
            other = None
            if number % 2:
                other = subprocess.Popen(list(map(str, command)))
            hits += killed(command, random.uniform(0.5, 1.5))
            run(*command)
            if other is not None and other.wait():
                problems.append("the second process failed")
            if target.read_bytes() != content:
                problems.append("the file differs")
        resumed = sum(bool(wanted) for _, wanted in server.requests)
    return Finding(
        "download (half of them beside a second process that wants the same file)",
        "resumed, and the file is whole",
        hits,
        tuple(problems),
        f"{resumed} continued from the middle",
    )


LIMITED = 'trap "" XFSZ; ulimit -f {}; exec "$@"'


def full_disk(folder: Path) -> list[Finding]:
    """Commands whose output does not fit on the disk, as which a limit of file sizes acts."""
    recipe, table, model = squares_model(folder)
    image = folder / "squares" / "square-03.png"
    commands = {
        "explain": ["explain", image, "--model", model, "--pixel-size-mm", 1, "--out"],
        "predict": ["predict", table, "--model", model, "--out"],
        "train": ["train", recipe, "--data", table, "--jobs", "1", "--out"],
        "evaluate": ["evaluate", model, "--data", table, "--jobs", "1", "--out"],
    }
    names = {"explain": "", "predict": ".csv", "train": ".safetensors", "evaluate": ".json"}
    found = []
    for name, command in commands.items():
        problems = []
        for limit in (0, 1, 8):
            out = folder / f"{name}{limit}{names[name]}"
            done = subprocess.run(
                ["bash", "-c", LIMITED.format(limit), "-", *map(str, [*EXPERT, *command, out])],
                capture_output=True,
                text=True,
            )  # fmt: skip
            said = done.stderr.strip()
            if done.returncode == 0:
                continue  # it fitted
            if done.returncode != 1 or "Traceback" in said or "Error: " not in said:
                problems.append(f"{limit} kB: {said[-200:]}")
            leftovers = [path.name for path in folder.glob(f"{name}{limit}*") if path.is_file()]
            leftovers = [left for left in leftovers if not left.endswith((".run", ".csv"))]
            if leftovers:
                problems.append(f"{limit} kB: left {leftovers}")
        found.append(
            Finding(
                f"`expert {name}` on a full disk (0, 1 and 8 kB left per file)",
                "one sentence, exit code 1, no half file",
                3,
                tuple(problems),
            )
        )
    return found


def cancelled(folder: Path, times: int, head: Path, seed: int = 0) -> list[Finding]:
    """Ctrl-C at random moments; how long the command still runs."""
    heed_ctrl_c()
    recipe, table, model = squares_model(folder)
    random = Random(seed)
    many = draw_squares(folder / "many", 200, 5)
    commands = {
        "explain": ["explain", head, "--out", folder / "e"],
        "predict": ["predict", many, "--model", model, "--out"],
        "train": ["train", recipe, "--data", table, "--folds", "2", "--jobs", "2", "--out"],
        "train --devices 2": ["train", recipe, "--data", table, "--devices", "2", "--out"],
        "evaluate": ["evaluate", model, "--data", many, "--jobs", "2", "--out"],
    }
    found = []
    for name, command in commands.items():
        problems, waits, number = [], [], 0
        whole = folder / f"{name}.out.csv"
        took = run(*EXPERT, *command, *([] if name == "explain" else [whole]))
        while len(waits) < times and number < 3 * times:
            number += 1
            out = [] if name == "explain" else [folder / f"{name}{number}.csv"]
            process = subprocess.Popen(
                list(map(str, [*EXPERT, *command, *out])),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            try:
                process.wait(random.uniform(0.1, 0.95) * took)
                process.communicate()
                continue
            except subprocess.TimeoutExpired:
                pass
            began = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate()
            if process.returncode == 0:  # its work was done, and only its end was left
                continue
            waits.append(time.monotonic() - began)
            if "Traceback" in errors:
                problems.append(errors[-300:])
            if process.returncode != 130:
                problems.append(f"exit code {process.returncode}: {errors[-100:]}")
        if len(waits) < times:
            problems.append(f"only {len(waits)} of {number} commands were still running")
        waits = waits or [0.0]
        if max(waits) > 1:
            problems.append(f"{sum(wait > 1 for wait in waits)} times longer than 1 s")
        remark = f"median {np.median(waits):.2f} s, longest {max(waits):.2f} s"
        found.append(
            Finding(
                f"Ctrl-C in `expert {name}`",
                "ends within 1 s, exit code 130, no traceback",
                len(waits),
                tuple(problems),
                remark,
            )
        )
    return found


def as_json(findings: Sequence[Finding]) -> str:
    return json.dumps([vars(one) for one in findings], indent=1)
