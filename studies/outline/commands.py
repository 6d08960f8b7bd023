"""Commands of ``python -m studies`` on fetal heads: find them, turn them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expert.cli.console import one_sentence, progress
from expert.schema import RESEARCH_USE

DataOption = Annotated[Path, typer.Option(help="Folder with 'hc18' and 'ixi'.")]


@one_sentence
def head_outline(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")] = Path(
        "runs/head-outline"
    ),
    table: Annotated[
        Path | None, typer.Option(help="Table of 'expert train' whose images are prepared.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of batches.")] = 2200,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 1,
) -> None:
    """Train and measure the network that finds a fetal head; finished folds are not repeated."""
    from studies.outline.study import run_study

    with progress() as report:
        target = run_study(data, out, table, steps=steps, seed=seed, progress=report)
    typer.echo(f"{target}. {RESEARCH_USE}")


@one_sentence
def turned_heads(
    data: DataOption,
    table: Annotated[Path, typer.Option(help="Table of 'expert train'.")],
    run: Annotated[Path, typer.Option(help="Folder of the run of 'expert train'.")],
    outlines: Annotated[Path, typer.Option(help="Folder of the run of 'head-outline'.")] = Path(
        "runs/head-outline"
    ),
    recipe: Annotated[Path, typer.Option(help="Recipe of the run.")] = Path(
        "recipes/fetal-head.yaml"
    ),
    out: Annotated[Path, typer.Option("--out", "-o", help="Markdown file to write.")] = Path(
        "turned-heads.md"
    ),
    images: Annotated[int, typer.Option(min=5, help="Number of held-out images.")] = 40,
) -> None:
    """Turn and mirror held-out fetal heads, and measure how much the prediction changes."""
    from studies.outline.turned import run_study

    with progress() as report:
        target = run_study(data, table, run, outlines, recipe, out, images=images, progress=report)
    typer.echo(f"{target}. {RESEARCH_USE}")
