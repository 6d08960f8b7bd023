"""Commands of ``python -m studies`` on the head network: train it, measure it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expert.cli.console import one_sentence, progress
from expert.schema import RESEARCH_USE

AFFINES = Path(__file__).with_name("affines.json")
"""Pose of each head and label map: template RAS mm to its RAS mm."""


@one_sentence
def head_network(
    data: Annotated[Path, typer.Option(help="Folder with 'synthseg_labels' and 'ixi'.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")] = Path(
        "runs/head-network"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Number of batches.")] = 4500,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 1,
) -> None:
    """Train the network that finds the brain; an interrupted run is resumed."""
    from studies.heads.training import train

    target = train(data, AFFINES, out, steps=steps, seed=seed)
    typer.echo(f"{target}. {RESEARCH_USE}")


@one_sentence
def brain_finding(
    data: Annotated[Path, typer.Option(help="Folder of IXI: T1, brain_mask, dlmuse.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Markdown file to write.")] = Path(
        "brain-finding.md"
    ),
    heads: Annotated[int, typer.Option(min=1, help="Number of heads to change.")] = 10,
    turned: Annotated[int, typer.Option(min=1, help="Number of heads to turn.")] = 4,
    every: Annotated[int, typer.Option(min=1, help="Register every n-th of all heads.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
) -> None:
    """Measure brain finding and registration on changed, wrong and turned heads."""
    from studies.heads.report import run_study

    with progress() as report:
        target = run_study(
            data, out, heads=heads, turned=turned, every=every, jobs=jobs, progress=report
        )
    typer.echo(f"{target}. {RESEARCH_USE}")
