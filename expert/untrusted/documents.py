"""JSON and YAML documents from outside: bounded in size and depth before they are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LARGEST_DOCUMENT = 16 << 20
"""Bytes of a model's metadata: a hundred times those of the largest shipped model."""
LARGEST_YAML = 1 << 18
"""Bytes of a recipe or a file of facts."""
MOST_VALUES = 1 << 22
"""Values in a JSON document: in memory, each needs up to a hundred bytes."""


def read_bytes(path: Path, largest: int) -> bytes:
    """Read a file that should be small.

    Parameters
    ----------
    path : pathlib.Path
    largest : int
        Bytes; nothing beyond is read.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is too large, or a device.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it is larger than {_size(largest)}")
    return data


def check_json(data: bytes, most_values: int = MOST_VALUES) -> None:
    """Refuse a JSON document that needs much more memory than its size.

    Parameters
    ----------
    data : bytes
    most_values : int

    Raises
    ------
    ValueError
        It has too many values.
    """
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > most_values:
        raise ValueError(f"it has more than {most_values >> 20} million values")


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

    data = document.encode() if isinstance(document, str) else document
    if len(data) > largest:
        raise ValueError(f"it is longer than {_size(largest)}")
    check_json(data)
    return from_json(data, allow_inf_nan=False)


def read_yaml(path: Path, largest: int = LARGEST_YAML) -> Any:
    """Read a YAML file; only plain values are made of it.

    Parameters
    ----------
    path : pathlib.Path
    largest : int
        Bytes.

    Returns
    -------
    object
        Dictionaries, lists, texts, numbers, dates.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is too large, not UTF-8, or not YAML; the message is a part of a sentence.
    """
    import yaml

    data = read_bytes(path, largest)
    try:
        return yaml.safe_load(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    # A wrong date or number in it raises any of the others.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not valid YAML: {' '.join(str(error).split())}") from error


def _size(count: int) -> str:
    return f"{count >> 20} MB" if count >= 1 << 20 else f"{count >> 10} kB"
