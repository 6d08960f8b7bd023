"""One word, one meaning: words that were replaced by terms of the field do not come back."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPLACED = {
    "likened|alike": "most similar, similarity",
    "tells?|told(?! apart)": "say, report, list",
    "(what|how much) (it is|they are|the explanations are) worth": "evaluation",
    "kept[ -]out": "held-out",
    "strange (images?|heads?|patch)|strangeness": "out-of-distribution, corrupted",
    "own space": "native space",
    "held against": "compared with",
    "plain (head|regression)": "regression baseline",
    "the answer|answers? of": "prediction",
    "speaks?": "contributes, favours",
    "pictures?": "image",
    "shall": "should, must",
    "at hand": "available",
    "on the whole": "on average",
}
"""Regular expressions, and what to write instead."""
TEXTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CITATION.cff",
    ROOT / "pyproject.toml",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "expert").rglob("*.html"),
    ROOT / "napari_expert" / "napari.yaml",
    *(file for file in (ROOT / "expert").rglob("*.py") if file.name != "_moved.py"),
    *(ROOT / "napari_expert").rglob("*.py"),
    *(ROOT / "studies").rglob("*.py"),
    *(ROOT / "recipes").glob("*.yaml"),
]


@cache
def words(path: Path) -> str:
    """A page, or the texts and docstrings of a Python file, on one line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        strings = (
            node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)
        )
        text = " ".join(string for string in strings if isinstance(string, str))
    return " ".join(text.split())


@pytest.mark.parametrize("odd", REPLACED)
def test_replaced_words_are_not_used(odd):
    found = [
        f"{path.relative_to(ROOT)}: …{words(path)[max(0, match.start() - 30) : match.end() + 30]}…"
        for path in TEXTS
        for match in re.finditer(rf"\b({odd})\b", words(path), re.IGNORECASE)
    ]
    assert not found, f"write {REPLACED[odd]!r} instead:\n" + "\n".join(found)
