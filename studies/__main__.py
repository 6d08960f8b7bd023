"""Entry point of ``python -m studies``."""

import typer

from expert.schema import RESEARCH_USE
from studies import commands
from studies.external import commands as external_commands
from studies.heads import commands as heads_commands
from studies.outline import commands as outline_commands

app = typer.Typer(
    help=f"Experiments on models and the method. {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    commands.ablation,
    commands.planted,
    commands.corrupted,
    external_commands.external,
    external_commands.scanners,
    heads_commands.head_network,
    heads_commands.brain_finding,
    outline_commands.head_outline,
    outline_commands.turned_heads,
    commands.structures,
    commands.explanations,
    commands.results,
):
    app.command()(command)

if __name__ == "__main__":
    app(prog_name="python -m studies")
