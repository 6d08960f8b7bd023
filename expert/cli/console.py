"""Shared options, error handling and progress bars of the commands."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from expert.cli.interruption import INTERRUPTED, say_cancelled
from expert.errors import Cancelled, ExpertError
from expert.untrusted.text import plain_text

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A shipped model's name or a model file.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the data set that contains the model's prototype images."),
]

REPORT_SECONDS = 60.0
"""Time between two lines of progress where there is no terminal."""


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print a text that may contain names from files, without their control characters.

    Parameters
    ----------
    text : object
    err : bool
        On standard error.
    nl : bool
        End the line.
    """
    typer.echo(plain_text(text, lines=True), err=err, nl=nl)


def cells(*texts: object) -> list[str]:
    """Texts for a row of a Rich table: neither escape codes nor Rich's markup in them is used.

    Parameters
    ----------
    *texts : object

    Returns
    -------
    list of str
    """
    from rich.markup import escape

    return [escape(plain_text(text, lines=True)) for text in texts]


def one_sentence(function: Callable[..., None]) -> Callable[..., None]:
    """Report an error of the input or of the disk as one sentence on standard error, exit code 1.

    Parameters
    ----------
    function : callable
        A command.

    Returns
    -------
    callable
        The command; a cancelled one has exit code 130.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except (Cancelled, KeyboardInterrupt) as error:
            say_cancelled(str(error))
            raise typer.Exit(INTERRUPTED) from None
        except ExpertError as error:
            say(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
        except BrokenPipeError:  # nobody reads the output further, as in a pipe to `head`
            raise typer.Exit(1) from None
        except OSError as error:  # where no function names a better reason
            say(f"Error: {_of_the_disk(error)}", err=True)
            raise typer.Exit(1) from None

    return wrapped


def _of_the_disk(error: OSError) -> str:
    """A sentence on a file that could not be read or written."""
    file = f"the file {error.filename}" if error.filename else "a file"
    return (
        f"{error.strerror or error}: {file} could not be read or written. Check the free space and "
        "the permissions, and run the command again."
    )


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Make a folder before the work begins; if nothing is written into it, it is removed again.

    Parameters
    ----------
    folder : pathlib.Path

    Raises
    ------
    ExpertError
        The folder cannot be made or written to.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ExpertError(
            f"The folder {folder} could not be made or written to: {error.strerror}. Choose "
            "another one with --out."
        ) from error
    try:
        yield
    finally:
        if new and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Progress bars on standard error, one per stage; nothing if it is not a terminal.

    Yields
    ------
    callable
        Takes the name of a stage and a fraction, 0 to 1.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, fraction: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0)
            bars.update(tasks[stage], completed=fraction)

        yield report


@contextmanager
def counter(total: int) -> Iterator[Callable[[int], None]]:
    """Progress of many images on standard error: number, images per minute, and time left.

    A bar on a terminal, else a line every minute.

    Parameters
    ----------
    total : int
        Number of images.

    Yields
    ------
    callable
        Takes the number of finished images; the first number is that of an earlier run.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    pace = Pace(total)
    printed = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("predict", total=total, pace="")

        def report(done: int) -> None:
            nonlocal printed
            text = pace.text(done, time.monotonic())
            bars.update(bar, completed=done, pace=text)
            if bars.disable and time.monotonic() - printed > REPORT_SECONDS:
                printed = time.monotonic()
                typer.echo(f"{done} of {total}, {text}", err=True)

        yield report


class Pace:
    """Rate and time left.

    Parameters
    ----------
    total : int
        Number of images.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._kept: int | None = None
        self._first: tuple[int, float] | None = None

    def text(self, done: int, now: float) -> str:
        """For example "27.3 per minute, 2 h 5 min left"; empty before the second new image.

        The time until the first one is not counted: it contains the start of the workers.

        Parameters
        ----------
        done : int
            Finished images; in the first call, those of an earlier run.
        now : float
            Time, seconds.

        Returns
        -------
        str
        """
        if self._kept is None:
            self._kept = done
        if done == self._kept:
            return ""
        if self._first is None:
            self._first = done, now
        first, began = self._first
        if done == first or now <= began:
            return ""
        rate = (done - first) / (now - began)
        seconds = int((self.total - done) / rate + 0.5)
        left = f"{seconds} s"
        if seconds >= 120:
            minutes = (seconds + 30) // 60
            left = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
        return f"{60 * rate:.1f} per minute, {left} left"
