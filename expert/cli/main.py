"""The command `expert`: prediction, explanation, training and evaluation without a window."""

from __future__ import annotations

from typing import Annotated

import typer

from expert import __version__
from expert.cli import (
    data_commands,
    model_commands,
    predict_commands,
    series_listing,
    training_commands,
)
from expert.schema import RESEARCH_USE

app = typer.Typer(
    help=f"Explainable regression with prototypes (ExPeRT). {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    predict_commands.predict,
    predict_commands.explain,
    training_commands.train,
    training_commands.evaluate,
    model_commands.info,
    model_commands.convert,
    data_commands.phantom,
    model_commands.fetch,
    predict_commands.view,
    series_listing.series,
):
    app.command()(command)

MOVED = {"benchmark": "ablation", "planted": "planted", "strange": "corrupted"}
"""Former command of `expert` → command of ``python -m studies``."""


def _refuse_moved(context: typer.Context) -> None:
    name = context.info_name or ""
    typer.echo(
        f"Error: the command '{name}' is now 'python -m studies {MOVED[name]}', "
        "to be run in a copy of the source code.",
        err=True,
    )
    raise typer.Exit(2)


for name in MOVED:
    app.command(
        name,
        hidden=True,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_refuse_moved)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"napari-expert {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Explainable regression with prototypes (ExPeRT).

    Research use only. Not for clinical decisions.
    """
