"""No pickle, no evaluated text, no connection; texts of files are escaped where they are shown."""

from __future__ import annotations

import ast
import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.bad_models import Parts, small_model, square
from helpers.hostile import FORMULAS, HOSTILE
from helpers.hostile import hostile_model as make_hostile_model
from PIL import Image
from typer.testing import CliRunner

import expert
from expert.cli.main import app
from expert.report.report import write_report
from expert.untrusted.text import FORMULA

ROOT = Path(__file__).parents[2]
SOURCES = [path for name in ("expert", "napari_expert") for path in (ROOT / name).rglob("*.py")]
run = CliRunner().invoke


# --- what the source does not contain ------------------------------------------------------------
def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node, {k.arg: ast.unparse(k.value) for k in node.keywords}


def forbidden(text):
    """Uses of what executes or unpickles data, with their lines."""
    tree, found = ast.parse(text), []
    modules = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib",
               "jsonpickle", "telnetlib", "ftplib", "xmlrpc"}  # fmt: skip
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [(node.lineno, name) for name in names if name.split(".")[0] in modules]
    for name, node, keywords in calls(tree):
        last = name.rsplit(".", 1)[-1]
        unsafe = (
            name in ("eval", "exec", "compile", "__import__", "os.system", "os.popen")
            or (name == "torch.load" and keywords.get("weights_only") != "True")
            or (last == "load" and name.startswith("yaml"))
            or last in ("unsafe_load", "full_load", "load_all", "read_pickle", "from_pickle")
            or keywords.get("allow_pickle") == "True"
            or keywords.get("shell") == "True"
            or keywords.get("verify") == "False"
            or last in ("extractall", "mktemp")
        )
        if unsafe:
            found.append((node.lineno, name))
    return found


def test_nothing_is_unpickled_evaluated_or_run_in_a_shell():
    found = {
        path.relative_to(ROOT).as_posix(): forbidden(path.read_text(encoding="utf-8"))
        for path in SOURCES
    }
    assert {path: uses for path, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from pickle import loads", "eval('1')", "exec('1')", "torch.load(p)",
     "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)", "yaml.load(s)",
     "yaml.unsafe_load(s)", "subprocess.run(c, shell=True)", "os.system(c)", "pd.read_pickle(p)",
     "requests.get(u, verify=False)", "zipfile.ZipFile(p).extractall(f)"],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(text):
    assert forbidden(text)
    assert not forbidden("np.load(p, allow_pickle=False); torch.load(p, weights_only=True)")


def test_arrays_are_loaded_without_pickle():
    """It is NumPy's default, and stated all the same wherever somebody else may write the file."""
    for path in SOURCES:
        for name, node, keywords in calls(ast.parse(path.read_text(encoding="utf-8"))):
            if name in ("np.load", "numpy.load"):
                assert keywords.get("allow_pickle") == "False", (path, node.lineno)


# --- what a run does -----------------------------------------------------------------------------
WATCHED = """
import sys, os
from pathlib import Path
sys.path[:0] = [{tests!r}]
from fuzzing.guard import Guard
seen = []
names = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "pickle.find_class",
         "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
def audit(event, arguments):
    if event in names:
        seen.append((event, repr(arguments)[:200]))
{body}
print("SEEN", seen)
"""


def watched(body, tmp_path, **environment):
    """Events of a program in a process of its own, in which no name can be resolved."""
    script = WATCHED.format(tests=str(ROOT / "tests"), body=body)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(one for one in done.stdout.splitlines() if one.startswith("SEEN "))
    return ast.literal_eval(line.removeprefix("SEEN "))


def test_explaining_opens_no_connection_and_unpickles_nothing(tmp_path):
    """The hook is set after the imports: libraries unpickle nothing of ours, but start helpers.

    Matplotlib lists the system's fonts once per user.
    """
    model, image = small_model(tmp_path), square(tmp_path)
    body = f"""
import expert, torch
from typer.testing import CliRunner
from expert.cli.main import app
model = expert.load_model({str(model)!r})
model.network
import matplotlib.font_manager
sys.addaudithook(audit)
for command in (["info", {str(model)!r}], ["info", {str(model)!r}, "--privacy"],
                ["explain", {str(image)!r}, "--out", "out", "--model", {str(model)!r}, "--csv"]):
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
"""
    assert watched(body, tmp_path) == []
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_commands_work_with_the_network_cut(tmp_path):
    """From the first import on, every connection fails."""
    model, image = small_model(tmp_path), square(tmp_path)
    body = f"""
import socket
def refused(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        seen.append((event, repr(arguments)[:200]))
        raise OSError("the network is cut")
sys.addaudithook(refused)
from typer.testing import CliRunner
from expert.cli.main import app
for command in (["info", "brain-age"],
                ["explain", {str(image)!r}, "--out", "out", "--model", {str(model)!r}, "--pdf"],
                ["predict", {str(image)!r}, "--out", "p.csv", "--model", {str(model)!r}]):
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
"""
    assert watched(body, tmp_path) == []


# --- texts ---------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def hostile_model(tmp_path_factory):
    return make_hostile_model(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def hostile_explanation(hostile_model, tmp_path_factory):
    image = square(tmp_path_factory.mktemp("image"))
    volume = expert.read_volume(image, pixel_size_mm=1.0)
    return expert.explain(expert.load_model(hostile_model), volume, top=2)


def test_reports_escape_every_text(hostile_explanation, hostile_model, tmp_path):
    info = expert.load_model(hostile_model).info
    path = write_report(hostile_explanation, tmp_path / "r.html", model=info, source=HOSTILE)
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"<(script|img|iframe|link|object)\b", page)
    assert "onerror=alert" not in re.sub(r">[^<]*<", "><", page)
    assert "&lt;script&gt;" in page
    assert "{{7*7}}" in page
    assert "49" not in re.findall(r"exe(\d+)", page)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page)
    write_report(hostile_explanation, tmp_path / "r.pdf", model=info, source=HOSTILE)


def test_the_terminal_gets_no_escape_codes_and_no_markup(hostile_model, tmp_path):
    image = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (32, 32)).astype(np.uint8)).save(
        image
    )
    out = tmp_path / "out"
    commands = [
        ["info", str(hostile_model)],
        ["info", str(hostile_model), "--privacy"],
        ["explain", str(image), "--out", str(out), "--model", str(hostile_model), "--csv",
         "--pixel-size-mm", "1"],
        ["explain", str(tmp_path / HOSTILE.replace("/", "")), "--out", str(out)],
        ["fetch", str(hostile_model)],
    ]  # fmt: skip
    for command in commands:
        done = run(app, command, color=True, env={"COLUMNS": "400"})
        text = re.sub(r"\x1b\[[0-9;]*m", "", done.output + done.stderr)  # Rich's own colours
        assert "\x1b" not in text, command
        assert "\u202e" not in text, command
        assert "\x1b[31m" not in done.output, command
        assert "\x1b]8" not in done.output, command
        if command[0] == "info":
            assert "[red]x[/red]" in re.sub(r"\s+", "", text), command


def first_cells(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return [cell for row in csv.reader(stream) for cell in row]


def is_number(text):
    return re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", text) is not None


def test_no_cell_of_a_table_is_a_formula(hostile_model, hostile_explanation, tmp_path):
    """Names of files, of the model and of its unit, in the table of predictions and of matches."""
    parts = Parts(hostile_model)
    document = {**parts.document, "version": FORMULAS[0], "collapsed": ""}
    document["label"] = {**document["label"], "unit": FORMULAS[0], "name": FORMULAS[3]}
    model = tmp_path / "formula.safetensors"
    model.write_bytes(parts.signed(document=document))
    pixels = np.random.default_rng(3).integers(0, 255, (32, 32)).astype(np.uint8)
    images = []
    for name in ("=cmd().png", "+1.png", "-1.png", "@SUM(A1).png", "<img src=x onerror=y>.png"):
        Image.fromarray(pixels).save(tmp_path / name)
        pixels = np.roll(pixels, 1)
        images.append(name)
    (tmp_path / images[-1]).write_text("no image")  # the page lists images that failed
    table = tmp_path / "in.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["file", "pixel_size_mm"], *([one, "1"] for one in images)])
    out = tmp_path / "p.csv"
    page = tmp_path / "page.html"
    command = ["predict", str(table), "--out", str(out), "--model", str(model)]
    done = run(app, [*command, "--page", str(page), "--show-names"])
    assert done.exit_code == 0, done.output
    shown = page.read_text(encoding="utf-8")
    assert "&lt;img src=x onerror=y&gt;" in shown
    assert "<img src=x" not in shown
    cells = first_cells(out)
    assert "'=cmd().png" in cells
    risky = [one for one in cells if one.startswith((*"=+-@\t\r",)) and not is_number(one)]
    assert risky == []
    explanation = hostile_explanation.model_copy(
        update={"unit": FORMULAS[0], "label_name": FORMULAS[3], "model_version": FORMULAS[1]}
    )
    for number, formula in enumerate(FORMULAS):
        view = explanation.views[0].model_copy(update={"name": formula})
        path = expert.write_csv(
            explanation.model_copy(update={"views": (view,)}), tmp_path / f"m{number}.csv"
        )
        lines = path.read_text(encoding="utf-8").splitlines()
        assert all(one.startswith("#") or "," in one for one in lines)
        body = [cell for row in csv.reader(lines) if not row[0].startswith("#") for cell in row]
        assert not [one for one in body if one.startswith((*"=+-@\t\r",)) and not is_number(one)]
    assert {*FORMULA} >= {*"=+-@"}


def test_the_explanation_of_a_hostile_model_is_plain_json(hostile_explanation, tmp_path):
    path = hostile_explanation.save(tmp_path / "e.json")
    assert json.loads(path.read_text(encoding="utf-8"))["unit"] == HOSTILE
    assert "\x1b" not in path.read_text(encoding="utf-8")
