"""Shared options, error handling and progress bars of the commands."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from expert.errors import Cancelled, ExpertError

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A shipped model's name or a model file.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the data set that contains the model's prototype images."),
]


def one_sentence(function: Callable[..., None]) -> Callable[..., None]:
    """Report an `ExpertError` as one sentence on standard error, with exit code 1.

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
        except (Cancelled, KeyboardInterrupt):
            typer.echo("Cancelled.", err=True)
            raise typer.Exit(130) from None
        except ExpertError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None

    return wrapped


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
