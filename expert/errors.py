"""What can go wrong, said in one sentence to the person at the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class ExpertError(Exception):
    """Something the user can act on: the message is one sentence (what, where, what to do)."""


class InputError(ExpertError):
    """An image, table or folder that cannot be used."""


class ModelError(ExpertError):
    """A model file that cannot be used."""


class RecipeError(ExpertError):
    """A training recipe that cannot be used."""


class Cancelled(ExpertError):
    """The user pressed Cancel; raised from inside a progress callback and passed through
    unchanged."""


def first_problem(error: ValidationError) -> str:
    """Where in a checked document the first problem lies, and what it is: part of a sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{where}: {first['msg']}"
