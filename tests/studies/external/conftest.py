"""Fixtures of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from expert.model_file import save_model


@pytest.fixture(scope="session")
def one_plane_file(one_plane, tmp_path_factory) -> str:
    """The embedded model with one plane, as a file."""
    weights = {
        name.removeprefix("weights."): array
        for name, array in one_plane.tensors.items()
        if name.startswith("weights.")
    }
    target = tmp_path_factory.mktemp("model") / "one-plane.safetensors"
    return str(save_model(target, one_plane.info, weights))


@pytest.fixture(scope="session")
def one_head(head_file) -> Path:
    """A table with the head of 72 years, and a row that is no image."""
    (head_file.parent / "jane.nii.gz").write_text("no image")
    table = head_file.parent / "heads.csv"
    table.write_text(f"file,age\n{head_file.name},72\njane.nii.gz,30\n")
    return table
