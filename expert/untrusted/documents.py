"""JSON documents from outside: bounded in size and depth before they are checked."""

from __future__ import annotations

from typing import Any

LARGEST_DOCUMENT = 16 << 20
"""Bytes of a model's metadata: a hundred times those of the shipped models' largest."""


def parse_json(document: str | bytes, largest: int = LARGEST_DOCUMENT) -> Any:
    """Parse a JSON document from a file that somebody else wrote.

    Parameters
    ----------
    document : str or bytes
        UTF-8.
    largest : int
        Bytes; a document that is longer is refused before it is parsed.

    Returns
    -------
    object
        Dictionaries, lists, texts, numbers.

    Raises
    ------
    ValueError
        It is too long, nested too deeply, or not JSON.
    """
    from pydantic_core import from_json

    if len(document) > largest:
        raise ValueError(f"it is longer than {largest >> 20} MB")
    return from_json(document, allow_inf_nan=False)
