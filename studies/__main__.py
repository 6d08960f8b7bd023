"""``python -m studies``: ablations, planted effects, corrupted inputs, the results page."""

import typer

from expert.schema import RESEARCH_USE
from studies import commands

app = typer.Typer(
    help=f"Experiments on models and the method. {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("ablation")(commands.benchmark)
app.command("planted")(commands.planted)
app.command("corrupted")(commands.strange)

if __name__ == "__main__":
    app(prog_name="python -m studies")
