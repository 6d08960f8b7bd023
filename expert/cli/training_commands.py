"""Commands that train and evaluate models: train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expert.cli.console import cells, one_sentence, progress, say
from expert.errors import ExpertError
from expert.schema import RESEARCH_USE


@one_sentence
def train(
    recipe: Annotated[Path, typer.Argument(help="Training recipe (YAML), see recipes/.")],
    data: Annotated[Path, typer.Option(help="CSV with the column 'file' and the label.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write (.safetensors).")],
    folds: Annotated[
        int,
        typer.Option(min=0, help="Cross-validate first, with N folds; this calibrates the model."),
    ] = 0,
    only_fold: Annotated[
        int | None, typer.Option(min=0, help="Train only this fold (folds can run side by side).")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Also train a regression baseline per fold.")
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(help="CSV of held-out images that calibrate the interval and the limits."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints and prepared images.")
    ] = None,
    prepared: Annotated[
        Path | None,
        typer.Option(help="Folder of the prepared images, if not in that of the run."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Resume an interrupted run.")] = True,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of processes that prepare images.")
    ] = None,
    devices: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that train on each host: of graphics cards where there are any."
        ),
    ] = 1,
    nodes: Annotated[
        int, typer.Option(min=1, help="Hosts: run the command on each, see docs/training.md.")
    ] = 1,
) -> None:
    """Train a model; an interrupted run is resumed from its last checkpoint."""
    import warnings

    from expert.training.recipe import read_recipe

    settings = read_recipe(recipe)  # errors in the recipe are reported before PyTorch is loaded
    from expert.training.pipeline import CollapseWarning
    from expert.training.pipeline import train as train_model
    from expert.training.processes import is_first

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CollapseWarning)
        target = train_model(
            settings,
            data,
            out,
            folds=folds,
            only_fold=only_fold,
            plain=plain,
            calibration=calibration,
            run=run,
            prepared=prepared,
            resume=resume,
            jobs=jobs,
            devices=devices,
            nodes=nodes,
        )
    if not is_first():
        return
    for warning in caught:
        if issubclass(warning.category, CollapseWarning):
            say(f"Warning: {warning.message} 'expert evaluate' fails this model.", err=True)
    say(f"{target}. {RESEARCH_USE}")


@one_sentence
def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model file.")],
    data: Annotated[Path, typer.Option(help="CSV with the column 'file' and the label.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON to write.")] = Path(
        "evaluation.json"
    ),
    label_column: Annotated[str | None, typer.Option(help="Name of the label column.")] = None,
    arrays: Annotated[
        Path | None, typer.Option(help="Folder that keeps the prepared images for later calls.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of processes that prepare images.")
    ] = None,
    explanations: Annotated[
        bool, typer.Option("--explanations", help="Also evaluate the explanations (takes minutes).")
    ] = False,
    subjects: Annotated[
        int, typer.Option(min=1, help="Number of subjects for --explanations.")
    ] = 24,
) -> None:
    """Evaluate a model on labelled images; exit code 2 if it has collapsed."""
    from rich.console import Console
    from rich.table import Table

    from expert.evaluation.accuracy import evaluate as measure
    from expert.model_file import load_model

    loaded = load_model(model)
    with progress() as report:
        result = measure(
            loaded, data, label_column=label_column, arrays=arrays, jobs=jobs,
            explanations=subjects if explanations else None, progress=report,
        )  # fmt: skip
    tables = {f"{result.model} on {data.name}": result.lines()}
    if result.explanations is not None:
        tables["explanations"] = result.explanations.lines()
    for title, lines in tables.items():
        table = Table(title=cells(title)[0], caption=RESEARCH_USE)
        table.add_column("figure")
        table.add_column("value")
        for name, value in lines:
            table.add_row(*cells(name, value))
        Console().print(table)
    if result.site_lines():
        header, *rows = result.site_lines()
        table = Table(title=cells(f"by site, in {result.unit}")[0], caption=RESEARCH_USE)
        for name in header:
            table.add_column(name)
        for row in rows:
            table.add_row(*cells(*row))
        Console().print(table)
    for sentence in result.refusals():
        say(f"Refused: {sentence}", err=True)
    if result.prototype_images:
        say(
            f"Warning: {result.prototype_images} of the images are prototypes of this model: it "
            "was trained on them, and the figures are too good.",
            err=True,
        )
    try:
        result.save(out)
    except OSError as error:
        raise ExpertError(
            f"The results could not be written to {out}: {error.strerror}."
        ) from error
    if result.failed:
        say(f"Error: this model must not be used: {result.failed}.", err=True)
        raise typer.Exit(2)
