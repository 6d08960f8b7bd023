"""Add average heads to a model file that was trained without them.

    python tools/add_averages.py brain-age.safetensors heads.csv --prepared heads.prepared --out new.safetensors

The table is that of the training. `expert train` writes the averages itself.
"""  # noqa: E501

from __future__ import annotations

import argparse
from pathlib import Path

from expert.datasets.average_images import add_averages
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.errors import ExpertError
from expert.model_file import load_model


def main() -> None:
    """Read the table, prepare its images and write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="model file, or name of a shipped model")
    parser.add_argument("table", type=Path, help="CSV of the training images")
    parser.add_argument("--prepared", type=Path, help="folder of the prepared images")
    parser.add_argument("--out", type=Path, required=True, help="model file to write")
    chosen = parser.parse_args()
    try:
        model = load_model(chosen.model)
        column = model.info.training.recipe.get("label_column") or model.info.label.name
        entries = read_table(chosen.table, label_column=str(column))
        folder = chosen.prepared or chosen.table.with_suffix(".prepared")
        target = add_averages(model, load_cohort(entries, model.info.input, folder), chosen.out)
    except ExpertError as error:
        raise SystemExit(f"Error: {error}") from error
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
