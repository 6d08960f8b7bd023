"""Commands of ``python -m studies``: ablation, planted effects, corrupted inputs, results page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expert.cli.console import one_sentence, progress
from expert.errors import ExpertError
from expert.schema import RESEARCH_USE


@one_sentence
def ablation(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="YAML, see recipes/.")],
    data: Annotated[Path, typer.Option(help="CSV with 'file' and the label.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the runs and results.md.")
    ] = Path("benchmark"),
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this variant, besides the recipe itself and the regression baseline; may be "
            "repeated."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds, split by subject.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Number of folds to run in parallel.")] = 1,
    budget: Annotated[
        float, typer.Option(min=0.01, help="Multiply epochs by this factor (0.2: quick run).")
    ] = 1.0,
    subjects: Annotated[
        int, typer.Option(min=0, help="Subjects per fold whose explanations are measured.")
    ] = 8,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Train, or only report finished folds.")
    ] = True,
) -> None:
    """Cross-validate recipes, their variants and a regression baseline on the same folds.

    An interrupted run is resumed.
    """
    from expert.training.recipe import read_recipe
    from studies.cross_validation import cross_validate

    settings = [read_recipe(recipe) for recipe in recipes]
    with progress() as report:
        target = cross_validate(
            settings,
            data,
            out,
            variants=variant,
            folds=folds,
            jobs=jobs,
            budget=budget,
            subjects=subjects,
            run=run,
            progress=report,
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
    heads: Annotated[int, typer.Option(min=2, help="Number of training heads.")] = 40,
    held_out: Annotated[int, typer.Option(min=2, help="Number of held-out heads.")] = 15,
    repeats: Annotated[int, typer.Option(min=1, help="Number of trainings per cohort.")] = 5,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed; each seed gives different subjects.")
    ] = 77,
) -> None:
    """Test whether effects planted in synthetic heads are learned and highlighted."""
    from expert.training.recipe import read_recipe
    from studies.planted_effects import run_study

    recipes = [read_recipe(path) for path in recipe] if recipe else None
    with progress() as report:
        run_study(
            out,
            recipes,
            training=heads,
            held_out=held_out,
            repeats=repeats,
            seed=seed,
            progress=report,
        )
    typer.echo(f"{out / 'planted.md'}. {RESEARCH_USE}")


@one_sentence
def corrupted(
    model: Annotated[
        str, typer.Argument(help="Name of a shipped model, or a model file; for heads.")
    ],
    data: Annotated[Path, typer.Option(help="CSV with 'file' and the label; heads to corrupt.")],
    subjects: Annotated[
        int, typer.Option(min=1, help="Number of heads (one to four minutes each).")
    ] = 6,
    other: Annotated[
        list[Path] | None,
        typer.Option(help="An out-of-domain image; may be repeated."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a finished 'train --folds': report false alarms for held-out images."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of the choice of heads and of the noise.")
    ] = 0,
    label_column: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Markdown file to write.")] = Path(
        "corrupted.md"
    ),
) -> None:
    """Test whether a model refuses or flags corrupted heads."""
    from expert.model_file import load_model
    from studies.corrupted.inputs import run_study
    from studies.corrupted.report import markdown

    with progress() as report:
        found = run_study(
            load_model(model),
            data,
            subjects=subjects,
            other=other or (),
            run=run,
            seed=seed,
            label_column=label_column,
            progress=report,
        )
    # Printed first, so that the result is not lost if the file cannot be written.
    typer.echo(markdown(found))
    try:
        out.write_text(markdown(found), encoding="utf-8")
    except OSError as error:
        raise ExpertError(f"The report could not be written to {out}: {error.strerror}.") from error
    typer.echo(f"{out}. {RESEARCH_USE}")


@one_sentence
def structures(
    recipe: Annotated[Path, typer.Argument(help="Recipe of the training.")],
    data: Annotated[Path, typer.Option(help="Table of the training.")],
    run: Annotated[Path, typer.Option(help="Folder of the training, with 5 folds.")],
    ixi: Annotated[Path, typer.Option(help="Folder of IXI, with 'dlmuse'.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Markdown file to write.")] = Path(
        "structures.md"
    ),
    pairs: Annotated[int, typer.Option(min=2, help="Pairs of heads, for labels.")] = 200,
    phantoms: Annotated[int, typer.Option(min=2, help="Number of painted heads.")] = 20,
    heads: Annotated[int, typer.Option(min=5, help="Number of heads registered badly.")] = 60,
) -> None:
    """Measure whether matching finds the same structure, with position as the baseline."""
    from studies.structures_report import run_study

    with progress() as report:
        target = run_study(
            data,
            run,
            recipe,
            ixi,
            out,
            pairs=pairs,
            phantoms=phantoms,
            heads=heads,
            progress=report,
        )
    typer.echo(f"{target}. {RESEARCH_USE}")


@one_sentence
def explanations(
    recipe: Annotated[Path, typer.Argument(help="Recipe of the training.")],
    data: Annotated[Path, typer.Option(help="Table of the training.")],
    run: Annotated[Path, typer.Option(help="Folder of the training.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Markdown file to write.")] = Path(
        "explanations.md"
    ),
    subjects: Annotated[int, typer.Option(min=1, help="Held-out subjects per fold.")] = 6,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the training.")] = 5,
) -> None:
    """Measure the explanations of held-out subjects of every fold of a training."""
    from studies.fold_explanations import run_study

    with progress() as report:
        target = run_study(recipe, data, run, out, subjects=subjects, folds=folds, progress=report)
    typer.echo(f"{target}. {RESEARCH_USE}")


@one_sentence
def results(
    ixi: Annotated[
        Path | None, typer.Option(help="labels.csv of IXI: subject, file, age_years.")
    ] = None,
    hc18: Annotated[Path | None, typer.Option(help="labels.csv of HC18.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the runs.")] = Path(
        "runs/results"
    ),
    only: Annotated[
        list[str] | None, typer.Option(help="Only this part of the page; may be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of folds to run in parallel.")] = 1,
    page: Annotated[
        bool, typer.Option("--page", help="Train nothing; write the page from finished folds.")
    ] = False,
) -> None:
    """Run every experiment of docs/results.md and write that page; hours on two cores.

    An interrupted run is resumed.
    """
    from studies.results_page import run_parts

    target = run_parts(
        ixi=ixi,
        hc18=hc18,
        out=out,
        only=only,
        jobs=jobs,
        train=not page,
        progress=lambda stage, done: typer.echo(f"{stage} {done:.0%}", err=True),
    )
    typer.echo(f"{target}. {RESEARCH_USE}")
