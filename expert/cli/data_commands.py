"""Commands that write data: phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expert.cli.console import one_sentence, progress, say
from expert.schema import RESEARCH_USE


@one_sentence
def phantom(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="NIfTI file to write, or folder for a cohort.")
    ],
    age: Annotated[float, typer.Option(help="Years, 0 to 110.")] = 50.0,
    seed: Annotated[
        int, typer.Option(help="Random seed; each seed is a different synthetic subject.")
    ] = 0,
    cohort: Annotated[
        int | None,
        typer.Option(help="Write N subjects, aged 20 to 85, and their table to the folder --out."),
    ] = None,
) -> None:
    """Write a synthetic ageing head, or a cohort of them."""
    from expert.datasets import phantom as phantoms
    from expert.imaging.volume import write_volume

    if cohort is not None:
        with progress() as report:
            target = phantoms.write_cohort(
                out, cohort, seed, progress=lambda fraction: report("write", fraction)
            )
    else:
        target = write_volume(phantoms.phantom(age, seed), out)
    say(f"{target}. {RESEARCH_USE}")
