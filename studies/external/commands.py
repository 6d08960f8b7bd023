"""Commands of ``python -m studies``: external data sets and simulated scanners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expert.cli.console import one_sentence, progress
from expert.errors import ExpertError
from expert.schema import RESEARCH_USE

HeadModel = Annotated[
    str, typer.Argument(help="Name of a shipped model, or a model file; for heads.")
]
HeadTable = Annotated[Path, typer.Option(help="CSV with 'file' and the label.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the label.")]
Subjects = Annotated[int, typer.Option(min=1, help="Number of heads.")]
Jobs = Annotated[int, typer.Option(min=1, help="Number of processes.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]


@one_sentence
def external(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a model file.")],
    data: Annotated[
        list[Path],
        typer.Option(help="CSV with 'file', the label and, optionally, 'site'; may be repeated."),
    ],
    label_column: LabelColumn = None,
    arrays: Annotated[
        Path | None, typer.Option(help="Folder that keeps the prepared images for later calls.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of processes that prepare images.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Markdown file to write; the plot is next to it.")
    ] = Path("external.md"),
) -> None:
    """Evaluate a model on several data sets, by site."""
    from expert.model_file import load_model
    from studies.external.by_site import run_study, write_page

    with progress() as report:
        found = run_study(
            load_model(model),
            data,
            label_column=label_column,
            arrays=arrays,
            jobs=jobs,
            progress=report,
        )
    try:
        write_page(found, out)
    except OSError as error:
        raise ExpertError(f"The page could not be written to {out}: {error.strerror}.") from error
    typer.echo(f"{out}. {RESEARCH_USE}")


@one_sentence
def scanners(
    model: HeadModel,
    data: HeadTable,
    subjects: Subjects = 6,
    scanners: Annotated[int, typer.Option(min=1, help="Number of simulated scanners.")] = 50,
    draws: Annotated[int, typer.Option(min=1, help="Number of draws of each effect alone.")] = 5,
    seed: Seed = 0,
    label_column: LabelColumn = None,
    jobs: Jobs = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Markdown file to write.")] = Path(
        "scanners.md"
    ),
) -> None:
    """Measure how much predictions depend on the scanner, with simulated scanners."""
    from studies.external.scanners import markdown, run_study

    with progress() as report:
        found = run_study(
            model,
            data,
            subjects=subjects,
            scanners=scanners,
            draws=draws,
            seed=seed,
            label_column=label_column,
            jobs=jobs,
            progress=report,
        )
    _write(markdown(found), out)


def _write(text: str, out: Path) -> None:
    # Printed first, so that the result is not lost if the file cannot be written.
    typer.echo(text)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExpertError(f"The report could not be written to {out}: {error.strerror}.") from error
    typer.echo(f"{out}. {RESEARCH_USE}")
