"""Errors whose message is shown to the user: what, where, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from expert.untrusted.text import plain_text

if TYPE_CHECKING:
    from pydantic import ValidationError


class ExpertError(Exception):
    """Base class of all errors that a user can act on; the message is one or two sentences.

    Parameters
    ----------
    message : object
        Names and values in it may come from files: control characters are made visible.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(plain_text(message))


class InputError(ExpertError):
    """An image, table or folder that cannot be used."""


class SeriesChoiceError(InputError):
    """Several DICOM series: one must be chosen.

    Parameters
    ----------
    message : str
        One sentence, without texts of the files.
    choices : tuple of expert.imaging.dicom.series.Series
        The series, for the user's own screen.
    """

    def __init__(self, message: str, choices: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.choices = choices


class RefusedError(InputError):
    """An image that is read well but must not be predicted, unless the user insists (`force`)."""


class ModelError(ExpertError):
    """A model file that cannot be used."""


class RecipeError(ExpertError):
    """A training recipe that cannot be used."""


class MissingPackageError(ExpertError):
    """A package that only some commands need is not installed.

    Parameters
    ----------
    purpose : str
        What needs it, at the start of the sentence.
    package : str
        Name of the package.
    extra : str
        Extra of napari-expert that installs it.
    """

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(
            f'{purpose} needs the package {package}: pip install "napari-expert[{extra}]".'
        )


class Cancelled(ExpertError):
    """The user cancelled; raised by a progress callback, and passed on unchanged."""


def first_problem(error: ValidationError) -> str:
    """Describe the first problem of a document that failed its validation.

    Parameters
    ----------
    error : pydantic.ValidationError

    Returns
    -------
    str
        "field: what is wrong", to be part of a sentence.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{_short(where)}: {_short(first['msg'])}"


def _short(text: str) -> str:
    """A name or value of somebody else's document, not longer than a sentence."""
    return text if len(text) <= 200 else f"{text[:200]} …"
