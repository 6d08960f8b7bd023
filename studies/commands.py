"""The commands of experiments: a benchmark of recipes, effects that are planted, images that are
strange."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expert.cli.console import one_sentence, progress
from expert.errors import ExpertError
from expert.schema import RESEARCH_USE


@one_sentence
def benchmark(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="YAML, see recipes/.")],
    data: Annotated[Path, typer.Option(help="CSV with 'file' and the label.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the runs and results.md.")
    ] = Path("benchmark"),
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this variant, beside the recipe itself and the plain head; may be repeated."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds, by subject.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Folds that run side by side.")] = 1,
    budget: Annotated[
        float, typer.Option(min=0.01, help="Times the recipe's epochs: 0.2 is a quick look.")
    ] = 1.0,
    subjects: Annotated[
        int, typer.Option(min=0, help="Subjects of each fold whose explanations are measured.")
    ] = 8,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Train, or only tell what is finished so far.")
    ] = True,
) -> None:
    """Compare recipes, their variants and a plain head on the same folds; a run that was killed
    goes on."""
    from expert.training.recipe import read_recipe
    from studies.cross_validation import run_benchmark

    settings = [read_recipe(recipe) for recipe in recipes]
    with progress() as tell:
        target = run_benchmark(
            settings,
            data,
            out,
            variants=variant,
            folds=folds,
            jobs=jobs,
            budget=budget,
            subjects=subjects,
            run=run,
            progress=tell,
        )
    typer.echo(f"{target}. {RESEARCH_USE}")


@one_sentence
def planted(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the heads, the trainings and planted.md."),
    ],
    recipe: Annotated[
        list[Path] | None,
        typer.Option(help="YAML of a model for heads, instead of a small one; may be repeated."),
    ] = None,
    heads: Annotated[int, typer.Option(min=2, help="Heads that train.")] = 40,
    held_out: Annotated[int, typer.Option(min=2, help="Heads that are measured.")] = 15,
    repeats: Annotated[int, typer.Option(min=1, help="Trainings of each cohort.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is other people.")] = 77,
) -> None:
    """Train on effects planted in known places of synthetic heads: are they found, and nothing
    where there is none?"""
    from expert.training.recipe import read_recipe
    from studies.planted_effects import run_study

    recipes = [read_recipe(path) for path in recipe] if recipe else None
    with progress() as tell:
        run_study(
            out,
            recipes,
            training=heads,
            held_out=held_out,
            repeats=repeats,
            seed=seed,
            progress=tell,
        )
    typer.echo(f"{out / 'planted.md'}. {RESEARCH_USE}")


@one_sentence
def strange(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model file, of heads.")],
    data: Annotated[Path, typer.Option(help="CSV with 'file' and the label: heads to change.")],
    subjects: Annotated[
        int, typer.Option(min=1, help="How many heads (one to four minutes each).")
    ] = 6,
    other: Annotated[
        list[Path] | None,
        typer.Option(help="An image that is nothing the model was made for; may be repeated."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of a finished 'train --folds': false alarms of held-out images."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other heads and noise.")] = 0,
    label_column: Annotated[str | None, typer.Option(help="The label's column.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Markdown file to write.")] = Path(
        "strange.md"
    ),
) -> None:
    """Change heads in known ways: does the model tell that they are unlike its training data?"""
    from expert.model_file import load_model
    from studies.corrupted_inputs import markdown, study

    with progress() as tell:
        found = study(
            load_model(model),
            data,
            subjects=subjects,
            other=other or (),
            run=run,
            seed=seed,
            label_column=label_column,
            progress=tell,
        )
    typer.echo(markdown(found))  # minutes of work: not lost where the file cannot be written
    try:
        out.write_text(markdown(found), encoding="utf-8")
    except OSError as error:
        raise ExpertError(f"The report could not be written to {out}: {error.strerror}.") from error
    typer.echo(f"{out}. {RESEARCH_USE}")
