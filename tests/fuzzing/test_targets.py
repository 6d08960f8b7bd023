"""A few examples of each target of tools/fuzz.py; the tool runs many."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzzing.guard import Guard, Hang, time_limit
from fuzzing.targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

ROOT = Path(__file__).parents[2]
EXAMPLES = 400


@pytest.fixture(scope="module")
def guard():
    return Guard()


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused_in_one_sentence(name, guard, tmp_path, monkeypatch):
    monkeypatch.delenv("EXPERT_DATA_DIR", raising=False)
    target, outcomes = TARGETS[name], set()
    seeds = target.seeds()
    for seed in seeds:
        assert target.run(seed, tmp_path) == "read"

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(some.sampled_from(seeds), some.randoms())
    def check(good: bytes, random: Random) -> None:
        data = target.change(good, random)
        with guard.watching(tmp_path) as events, time_limit():
            outcomes.add(target.run(data, tmp_path))
        assert events == []

    check()
    assert "read" in outcomes
    assert len(outcomes) > 1


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_the_guard_sees_other_files_connections_and_processes(guard, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("x")
    link = inside / "link"
    link.symlink_to(secret)
    actions = {
        "open": lambda: secret.read_text(),
        f"open {secret}": lambda: link.read_text(),
        "os.": lambda: list(tmp_path.iterdir()),
        "subprocess.Popen": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        "open ": lambda: (ROOT / "written").open("w").close(),
    }
    for event, act in actions.items():
        with guard.watching(inside) as events:
            act()
        assert any(one.startswith(event) for one in events), event
    (ROOT / "written").unlink()
    with guard.watching(inside) as events:
        (inside / "own").write_text("x")
        (ROOT / "pyproject.toml").read_text()
    assert events == []


CORPORA = """
import sys, json
from pathlib import Path
folder = Path(sys.argv[1])
from fuzzing.guard import limit_memory, time_limit
from helpers.bad_explanations import bad_explanations
from helpers.bad_models import BAD, bad_model, small_model, square
import expert
good = small_model(folder)
volume = expert.read_volume(square(folder), pixel_size_mm=1.0)
explained = expert.explain(expert.load_model(good), volume)
documents = bad_explanations(json.loads(explained.model_dump_json()))
paths = []
for number, (_, content) in enumerate(documents.values()):
    paths.append(folder / f"{number}.json")
    paths[-1].write_bytes(content)
with (folder / "large.json").open("wb") as file:
    file.truncate(600 << 20)
with (folder / "large.safetensors").open("wb") as file:
    file.truncate(3 << 30)
limit_memory()
refused = 0
for path in [*paths, folder / "large.json"]:
    try:
        with time_limit():
            expert.Explanation.load(path)
    except expert.InputError:
        refused += 1
assert refused == len(documents) + 1, refused
for name in BAD:
    try:
        with time_limit():
            expert.load_model(bad_model(folder, good, name))
    except expert.ModelError:
        refused += 1
try:
    expert.load_model(folder / "large.safetensors")
except expert.ModelError:
    refused += 1
print("REFUSED", refused - len(documents) - 1 - len(BAD))
"""


def test_bad_models_and_explanations_need_neither_2_gb_nor_5_s(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CORPORA, str(tmp_path)],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "REFUSED 1" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="alarms are signals of Unix")
def test_a_hang_ends():
    @time_limit(1)
    def hang():
        while True:
            pass

    with pytest.raises(Hang):
        hang()


def test_the_tool_reports_its_figures(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "fuzz.py"), "explanation", "--executions", "60",
         "--out", str(tmp_path / "failures")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"executions": 60' in done.stdout
    assert not (tmp_path / "failures").exists()
