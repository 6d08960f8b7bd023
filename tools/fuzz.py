"""Read many damaged and hostile files: no crash, no hang, no much memory, no file elsewhere.

    python tools/fuzz.py model --executions 100000
    python tools/fuzz.py dicom --executions 100000 --engine atheris

Targets are in tests/fuzzing/targets.py. The engine "random" changes good files at random,
"hypothesis" draws the changes from Hypothesis, "atheris" (pip install atheris) is guided by the
coverage of the code. Each input is read in a process whose memory is limited to 2 GB above what
imports need, for at most 5 s. Opened files outside the folder of the input, connections, processes
and unpickling are failures, and so is every exception that is no error of `expert.errors`. Failing
inputs are written to the folder `--out`.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
MOST_FAILURES = 50
"""After so many different failures, the run ends."""


class Runner:
    """Executes inputs of one target, and keeps the figures."""

    def __init__(self, name: str, out: Path, folder: Path) -> None:
        from fuzzing.guard import Guard, limit_memory
        from fuzzing.targets import TARGETS

        self.target, self.name, self.out, self.folder = TARGETS[name], name, out, folder
        self.seeds = self.target.seeds()
        self.guard = Guard()
        self.outcomes: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.executions, self.longest = 0, 0.0
        for data in self.seeds:
            if self.target.run(data, folder) != "read":
                raise SystemExit(f"A good file of the target {name} cannot be read.")
        os.environ.pop("EXPERT_DATA_DIR", None)
        limit_memory()
        self.began = time.monotonic()

    def execute(self, data: bytes) -> str:
        """Run one input; its outcome: "read", the class of an error, or "failure"."""
        from fuzzing.guard import time_limit

        faulthandler.dump_traceback_later(30, exit=True)  # a hang in compiled code
        start, failure, outcome = time.monotonic(), "", ""
        try:
            with self.guard.watching(self.folder) as events, time_limit():
                outcome = self.target.run(data, self.folder)
            if events:
                failure = f"opened: {events[0]}"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also panics of compiled code
            place = traceback.extract_tb(error.__traceback__)[-1]
            failure = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: "
            failure += str(error)[:100]
        faulthandler.cancel_dump_traceback_later()
        self.executions += 1
        self.longest = max(self.longest, time.monotonic() - start)
        self.outcomes["failure" if failure else outcome] += 1
        if failure:
            self._keep(data, failure)
        return "failure" if failure else outcome

    def _keep(self, data: bytes, failure: str) -> None:
        key = failure.split(": ")[0]
        self.failures[key] += 1
        if self.failures[key] > 3:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        stem = f"{self.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        (self.out / stem).write_bytes(data)
        (self.out / f"{stem}.txt").write_text(f"{failure}\n{traceback.format_exc()}")

    def figures(self) -> dict[str, Any]:
        """Everything that is reported."""
        return {
            "target": self.name,
            "executions": self.executions,
            "seconds": round(time.monotonic() - self.began, 1),
            "longest": round(self.longest, 2),
            "outcomes": dict(self.outcomes.most_common()),
            "failures": dict(self.failures.most_common()),
        }


def by_chance(runner: Runner, count: int, seed: int) -> None:
    """Random changes of the good files, and of changed files that could be read."""
    random, pool = Random(seed), list(runner.seeds)
    for _ in range(count):
        data = runner.target.change(random.choice(pool), random)
        if runner.execute(data) == "read" and len(data) < 200_000:
            # Changed files that are still good are changed further; the last ones are kept.
            pool[len(runner.seeds) :] = [*pool[len(runner.seeds) :][-50:], data]
        if len(runner.failures) > MOST_FAILURES:
            return


def by_hypothesis(runner: Runner, count: int, seed: int) -> None:
    """Changes that Hypothesis chooses."""
    import hypothesis
    from hypothesis import strategies

    settings = hypothesis.settings(
        max_examples=count, deadline=None, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip

    @hypothesis.seed(seed)
    @settings
    @hypothesis.given(strategies.sampled_from(runner.seeds), strategies.randoms())
    def check(good: bytes, random: Random) -> None:
        runner.execute(runner.target.change(good, random))

    check()


def by_coverage(runner: Runner, count: int, seed: int, folder: Path) -> None:
    """Changes that libFuzzer and our own mutations propose; new code reached is kept."""
    import atheris

    runner.out.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(runner.seeds):
        (corpus / f"good-{number}").write_bytes(data)

    def propose(data: bytes, largest: int, number: int) -> bytes:
        random = Random(number)
        if random.randrange(4) == 0:
            return bytes(atheris.Mutate(data, largest))
        return runner.target.change(data or runner.seeds[0], random)[:largest]

    def check(data: bytes) -> None:
        runner.execute(data)
        if runner.executions >= count or len(runner.failures) > MOST_FAILURES:
            (folder / "figures.json").write_text(json.dumps(runner.figures()))
            os._exit(0)

    arguments = [sys.argv[0], f"-seed={seed}", "-max_len=200000", "-verbosity=0", "-timeout=60",
                 "-rss_limit_mb=0", f"-artifact_prefix={runner.out}/", str(corpus)]  # fmt: skip
    atheris.Setup(arguments, check, custom_mutator=propose, enable_python_coverage=True)
    atheris.Fuzz()


def work(options: argparse.Namespace, folder: Path) -> None:
    """The process that executes the inputs."""
    inputs = folder / "inputs"
    inputs.mkdir()
    if options.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["expert", "pydicom", "nibabel", "yaml"]):
            import expert.datasets.prototype_images
            import expert.evidence.wording
            import expert.imaging.dicom.reading
            import expert.training.recipe  # noqa: F401
    runner = Runner(options.target, options.out, inputs)
    if options.engine == "random":
        by_chance(runner, options.executions, options.seed)
    elif options.engine == "hypothesis":
        by_hypothesis(runner, options.executions, options.seed)
    else:
        by_coverage(runner, options.executions, options.seed, folder)
    (folder / "figures.json").write_text(json.dumps(runner.figures()))


def main() -> int:
    """Start the process, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=["model", "explanation", "recipe", "dicom", "nifti"])
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--engine", choices=["random", "hypothesis", "atheris"], default="random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out = options.out.resolve()
    if options.folder is not None:
        work(options, options.folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="expert-fuzz-") as name:
        folder = Path(name)
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--folder", name])
        if not (folder / "figures.json").is_file():
            last = sorted((folder / "inputs").glob("input*"))
            options.out.mkdir(parents=True, exist_ok=True)
            for file in last:
                (options.out / f"{options.target}-last-{file.name}").write_bytes(file.read_bytes())
            print(f"{options.target}: the process ended with {done.returncode}; its last input is "
                  f"in {options.out}")  # fmt: skip
            return 1
        figures = json.loads((folder / "figures.json").read_text())
    print(json.dumps(figures, indent=1))
    return 1 if figures["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
