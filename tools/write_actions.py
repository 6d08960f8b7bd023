"""Write commands and menus of the manifest, and the list of keys in the docs, from `ACTIONS`.

python tools/write_actions.py           writes both
python tools/write_actions.py --check   exit code 1 if one is out of date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from napari_expert.actions import ACTIONS, PLUGIN

ROOT = Path(__file__).parents[1]
MANIFEST, DOCS = ROOT / "napari_expert" / "napari.yaml", ROOT / "docs" / "viewer.md"
SUBMENU = f"{PLUGIN}.walk"


def commands() -> str:
    """The commands, as YAML."""
    lines = []
    for action in ACTIONS:
        title = f'"{action.title}"' if ": " in action.title else action.title
        lines += [
            f"    - id: {PLUGIN}.{action.name}",
            f"      title: {title}",
            f"      python_name: napari_expert.actions:{action.name}",
        ]
    return "\n".join(lines)


def menus() -> str:
    """The entries of the menus, as YAML."""
    lines = ["    napari/file/io_utilities:"]
    for place, action in enumerate((a for a in ACTIONS if a.file_menu), 1):
        lines.append(f"      - {{command: {PLUGIN}.{action.name}, group: expert@{place}}}")
    lines += ["    napari/layers/visualize:", f"      - {{submenu: {SUBMENU}}}", f"    {SUBMENU}:"]
    for place, action in enumerate((a for a in ACTIONS if a.menu), 1):
        lines.append(f"      - {{command: {PLUGIN}.{action.name}, group: {action.menu}@{place}}}")
    return "\n".join(lines)


def keys() -> str:
    """The keys, as a Markdown table."""
    lines = ["| Key | Action |", "|---|---|"]
    for action in ACTIONS:
        if action.key:
            title = action.title[0].lower() + action.title[1:]
            key = action.key.replace("Page", "Page ")
            lines.append(f"| {key} | {action.key_help or title} |")
    return "\n".join(lines)


def replaced(text: str, name: str, content: str) -> str:
    """A text with the lines between the two marks of a name replaced."""
    lines = text.split("\n")
    start = next(n for n, line in enumerate(lines) if f"begin {name}" in line)
    end = next(n for n, line in enumerate(lines) if f"end {name}" in line)
    return "\n".join([*lines[: start + 1], content, *lines[end:]])


def written() -> dict[Path, str]:
    """Both files as they should be."""
    manifest = MANIFEST.read_text(encoding="utf-8")
    for name, content in (("commands", commands()), ("menus", menus())):
        manifest = replaced(manifest, name, content)
    docs = replaced(DOCS.read_text(encoding="utf-8"), "keys", keys())
    return {MANIFEST: manifest, DOCS: docs}


def main() -> int:
    """Write or check; the exit code says whether anything was out of date when checking."""
    parser = argparse.ArgumentParser(description="Write manifest and key list from the actions.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = [path for path, text in written().items() if path.read_text(encoding="utf-8") != text]
    for path, text in written().items():
        if path in stale and not check:
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
