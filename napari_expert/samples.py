"""Sample data: synthetic heads (File ▸ Open Sample ▸ ExPeRT)."""

from __future__ import annotations

from typing import Any


def _phantom(age: int) -> list[tuple[Any, dict[str, Any], str]]:
    from expert.phantom import phantom
    from napari_expert.orientation import layer_arguments

    data, arguments = layer_arguments(phantom(age, seed=900_000 + age))
    return [(data, {**arguments, "name": f"synthetic head, {age} years", "colormap": "gray"}, "image")]


def phantom_30() -> list[tuple[Any, dict[str, Any], str]]:
    """A synthetic head of 30 years."""
    return _phantom(30)


def phantom_55() -> list[tuple[Any, dict[str, Any], str]]:
    """A synthetic head of 55 years."""
    return _phantom(55)


def phantom_80() -> list[tuple[Any, dict[str, Any], str]]:
    """A synthetic head of 80 years."""
    return _phantom(80)
