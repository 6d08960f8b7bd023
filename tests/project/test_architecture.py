"""Layers, import circles, file and class lengths; docs/architecture.md is up to date."""

from __future__ import annotations

import ast

import pytest

from tools import architecture

LONGEST_FILE, LONGEST_CLASS, MOST_FLAT_FILES = 400, 250, 20


@pytest.fixture(scope="module")
def graph():
    return architecture.import_graph()


def test_no_module_imports_from_a_higher_layer(graph):
    assert architecture.upward(graph) == []


def test_no_import_circle(graph):
    assert architecture.circles(graph) == []


def test_the_checks_find_a_circle_and_an_upward_import():
    wrong = {"expert.errors": {"expert.inference"}, "expert.inference": {"expert.errors"}}
    assert architecture.circles(wrong) == ["expert.errors", "expert.inference"]
    assert architecture.upward(wrong) == [
        "expert.errors (base) imports expert.inference (inference)"
    ]


def test_the_product_does_not_import_studies(graph):
    for name, others in graph.items():
        if not name.startswith("studies."):
            assert not [other for other in others if other.startswith("studies.")], name


def test_files_and_classes_are_short():
    for name, file in architecture.modules().items():
        source = file.read_text(encoding="utf-8")
        assert len(source.splitlines()) <= LONGEST_FILE, name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno - node.lineno + 1 <= LONGEST_CLASS, f"{name}.{node.name}"


def test_few_modules_are_flat():
    flat = [name for name in architecture.modules() if name.count(".") == 1]
    assert len([name for name in flat if name.startswith("expert.")]) <= MOST_FLAT_FILES


def test_the_architecture_page_is_up_to_date():
    assert architecture.page() == architecture.PAGE.read_text(encoding="utf-8")
