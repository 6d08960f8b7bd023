"""Write the generated parts of docs/architecture.md: layers, modules and the diagram.

``python tools/architecture.py`` rewrites them; ``--check`` only says whether they are up to date.
tests/project/test_architecture.py runs the same checks.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("expert", "napari_expert", "studies")
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "base",
        (
            "expert.errors", "expert.files", "expert.schema", "expert.json_arrays",
            "expert._moved", "expert.untrusted",
        ),
    ),
    (
        "method",
        (
            "expert.features", "expert.transport", "expert.losses",
            "expert.conformal",
            "expert.backbone", "expert.model",
            "expert.model_file", "expert.explanation", "expert.planes", "expert.patches",
            "expert.attribution", "expert.comparison", "expert.novelty",
        ),
    ),
    ("imaging", ("expert.imaging",)),
    ("datasets", ("expert.datasets",)),
    ("evidence", ("expert.evidence",)),
    ("inference", ("expert.notices", "expert.prototype_matching", "expert.inference")),
    ("evaluation", ("expert.evaluation",)),
    ("training", ("expert.training",)),
    ("report", ("expert.report",)),
    ("cohort", ("expert.cohort",)),
    ("convert", ("expert.convert",)),
    ("cli", ("expert.cli",)),
    (
        "plugin base",
        (
            "napari_expert.layer_geometry",
            "napari_expert.layer_watch",
            "napari_expert.side_by_side",
        ),
    ),
    (
        "session",
        (
            "napari_expert.prototype_browser", "napari_expert.session", "napari_expert.navigation",
            "napari_expert.viewing",
            "napari_expert.actions",
        ),
    ),
    ("canvas", ("napari_expert.canvas",)),
    ("panel", ("napari_expert.panel",)),
    ("plugin", ("napari_expert",)),
    ("studies", ("studies",)),
)  # fmt: skip
"""Layers from the lowest to the highest, and the modules or packages of each. A module imports from
its own layer and from lower ones only."""


def modules() -> dict[str, Path]:
    """Name and file of every module; packages' ``__init__`` files are left out."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if file.name != "__init__.py":
                found[".".join(file.relative_to(ROOT).with_suffix("").parts)] = file
    return found


def imports(file: Path) -> set[str]:
    """Modules that a file imports, inside functions as well, but not those for type checkers."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def import_graph() -> dict[str, set[str]]:
    """Every module of the project and the modules of the project it imports."""
    known = modules()
    return {name: (imports(file) & known.keys()) - {name} for name, file in known.items()}


def layer_of(module: str) -> int:
    """Index into `LAYERS`; the longest matching name decides."""
    matches = [
        (len(name), number)
        for number, (_, names) in enumerate(LAYERS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    if not matches:
        raise LookupError(
            f"{module} belongs to no layer: add it to LAYERS in {Path(__file__).name}."
        )
    return max(matches)[1]


def upward(graph: dict[str, set[str]]) -> list[str]:
    """Imports from a higher layer."""
    return [
        f"{module} ({LAYERS[layer_of(module)][0]}) imports {other} ({LAYERS[layer_of(other)][0]})"
        for module, others in graph.items()
        for other in sorted(others)
        if layer_of(other) > layer_of(module)
    ]


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Modules that can be left and reached again by imports."""
    reached = {name: set(others) for name, others in graph.items()}
    for middle in graph:  # Warshall's transitive closure
        for name in graph:
            if middle in reached[name]:
                reached[name] |= reached[middle]
    return sorted(name for name in graph if name in reached[name])


def layer_table(graph: dict[str, set[str]]) -> str:
    """Layers from the highest to the lowest, with what they import."""
    rows = ["| layer | where | modules | imports |", "|---|---|---|---|"]
    used = layer_imports(graph)
    for number in reversed(range(len(LAYERS))):
        title, names = LAYERS[number]
        members = [name for name in graph if layer_of(name) == number]
        places = ", ".join(f"`{name}`" for name in names)
        below = ", ".join(LAYERS[other][0] for other in sorted(used[number], reverse=True))
        rows.append(f"| {title} | {places} | {len(members)} | {below or 'nothing'} |")
    return "\n".join(rows)


def layer_imports(graph: dict[str, set[str]]) -> dict[int, set[int]]:
    """The layers that each layer imports."""
    used: dict[int, set[int]] = defaultdict(set)
    for name, others in graph.items():
        used[layer_of(name)] |= {layer_of(other) for other in others} - {layer_of(name)}
    return used


def diagram(graph: dict[str, set[str]]) -> str:
    """The layers as a Mermaid flowchart: an arrow means "imports"; indirect arrows are left out."""
    used = layer_imports(graph)

    def below(number: int) -> set[int]:
        lower = {other for other in used[number] if other < number}
        return lower.union(*(below(other) for other in lower))

    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    L{number}["{title}"]' for number, (title, _) in reversed([*enumerate(LAYERS)])]
    for number in reversed(range(len(LAYERS))):
        direct = {o for o in used[number] if not any(o in below(p) for p in used[number] - {o})}
        lines += [f"    L{number} --> L{other}" for other in sorted(direct, reverse=True)]
    return "\n".join([*lines, "```"])


def module_list() -> str:
    """Every module with the first sentence of its docstring, package by package."""
    packages = defaultdict(list)
    for name, file in modules().items():
        doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        first = " ".join(doc.split("\n\n")[0].split())
        packages[name.rpartition(".")[0]].append(f"| `{name.rpartition('.')[2]}` | {first} |")
    parts = []
    for package, rows in sorted(packages.items()):
        parts += [f"### {package}", "", "| module | what it is for |", "|---|---|", *rows, ""]
    return "\n".join(parts).rstrip()


def page() -> str:
    """docs/architecture.md with its generated parts made anew."""
    graph, text = import_graph(), PAGE.read_text(encoding="utf-8")
    parts = {"layers": layer_table(graph), "diagram": diagram(graph), "modules": module_list()}
    for name, content in parts.items():
        begin, end = (
            f"<!-- {name}: generated by tools/architecture.py -->",
            f"<!-- end of {name} -->",
        )
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        text = re.sub(
            pattern, lambda _, c=content, b=begin, e=end: f"{b}\n{c}\n{e}", text, flags=re.S
        )
    return text


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` report whether it is up to date."""
    graph = import_graph()
    problems = [*upward(graph), *(f"{name} is part of an import cycle" for name in circles(graph))]
    if "--check" in arguments and page() != PAGE.read_text(encoding="utf-8"):
        problems.append("docs/architecture.md is out of date: run python tools/architecture.py")
    elif "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
    print("\n".join(problems) or "No upward import, no cycle.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
