"""The documentation is true: its Python runs, its commands and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expert.cli.main import app as product
from studies.__main__ import app as studies

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name
)
def test_python_in_the_docs_runs(page, head_file, tmp_path, monkeypatch, request):
    (tmp_path / "head.nii.gz").write_bytes(head_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    names = {"expert": __import__("expert")}
    for block in blocks(page, "python"):
        exec(block, names)


def commands(start):
    """Options and arguments that the pages give for each command after `start`, line by line."""
    lines = [line for page in PAGES for block in blocks(page, "") for line in block.splitlines()]
    return [line.removeprefix(start).split(maxsplit=1) for line in lines if line.startswith(start)]


@pytest.mark.parametrize(
    ("start", "app", "expected"),
    [
        ("expert ", product, "explain predict train evaluate phantom view info"),
        ("python -m studies ", studies, "ablation planted corrupted results"),
    ],
    ids=["expert", "studies"],
)
def test_commands_in_the_docs_exist(start, app, expected):
    assert {*expected.split()} <= {name for name, _ in commands(start)}
    for name, arguments in commands(start):
        shown = CliRunner().invoke(
            app, [name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        )
        assert shown.exit_code == 0, name
        for option in re.findall(r"--[a-z-]+", arguments):
            assert option in shown.output, (name, arguments)


def anchors(page):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def test_links_within_the_docs_lead_somewhere():
    for page in PAGES:
        links = re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
        for target, anchor in links:
            if "://" in target:
                continue
            place = page.parent / target if target else page
            assert place.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(place), f"{page.name}: {target}#{anchor}"


def test_names_in_the_contributing_page_are_present_ones():
    """Functions and classes that the page names are in the source, and are not former names."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sources = "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("expert", "napari_expert", "studies", "tests", "tools")
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix in {".py", ".yaml"}
    )
    named = {part for code in re.findall(r"`([\w.]+)`", page) for part in code.split(".")}
    names = {name for name in named if re.fullmatch(r"\w+_\w+|[A-Z][a-z]+[A-Z]\w+", name)}
    assert "PrototypeModule" in names
    for name in names:
        assert re.search(rf"\b{name}\b", sources), name
        assert not re.search(rf"^{name} = .*former name", sources, re.M), name
