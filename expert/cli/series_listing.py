"""List DICOM series: the command `series`, and the list under an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expert.cli.console import one_sentence, say
from expert.errors import SeriesChoiceError

if TYPE_CHECKING:
    from expert.imaging.dicom.series import Series

LONGEST = 60
"""Lines of a list."""


@one_sentence
def series(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="DICOM folder, file, DICOMDIR or ZIP archive.")
    ],
) -> None:
    """List the DICOM series of a folder, to choose one with --series."""
    from expert.imaging.dicom.series import list_series

    _show(list_series(source), err=False)


@contextmanager
def listed_series() -> Iterator[None]:
    """Show the series that can be chosen, on standard error, where one must be chosen."""
    try:
        yield
    except SeriesChoiceError as error:
        _show(error.choices, err=True)
        raise


def _show(found: Sequence[Series], *, err: bool) -> None:
    for one in found[:LONGEST]:
        say(one.text, err=err)
    if len(found) > LONGEST:
        say(f"       and {len(found) - LONGEST} more", err=err)
