"""Tests of `expert.cli.model_commands`."""

from __future__ import annotations

from collections import Counter

from typer.testing import CliRunner

from expert.cli.main import app
from expert.model_file import load_model, save_model
from expert.schema import RESEARCH_USE, SiteFigures

run = CliRunner().invoke


def test_info_shows_the_figures_of_every_site(tmp_path, model):
    assert "by site" not in run(app, ["info", "phantom"]).output
    common = {"subjects": 40, "interval_coverage": 0.885, "label_range": (19.0, 81.5)}
    sites = (
        SiteFigures(name="Northtown", kind="site held out", mae=5.123, mean_error=-1.5, **common),
        SiteFigures(
            name="Southtown",
            kind="external",
            mae=6.987,
            mean_error=2.25,
            **common | {"interval_coverage": None},
        ),
    )
    target = tmp_path / "sites.safetensors"
    weights = {
        name.removeprefix("weights."): array
        for name, array in model.tensors.items()
        if name.startswith("weights.")
    }
    save_model(target, model.info.model_copy(update={"sites": sites}), weights)
    result = run(app, ["info", str(target)], env={"COLUMNS": "150"})
    assert result.exit_code == 0, result.output
    north, south = (
        next(line for line in result.output.splitlines() if name in line)
        for name in ("Northtown", "Southtown")
    )
    for text in ("site held out", "40", "19 – 81.5", "5.12", "-1.50", "88%"):
        assert text in north
    for text in ("external", "6.99", "+2.25"):
        assert text in south
    assert "%" not in south


def test_info_and_version():
    result = run(app, ["info", "phantom"])
    assert result.exit_code == 0
    assert RESEARCH_USE in result.output
    assert "napari-expert" in run(app, ["--version"]).output


def test_fetch_names_images_that_cannot_be_downloaded(ixi, monkeypatch):
    """All images of IXI are in the folder, so that nothing is downloaded."""
    monkeypatch.setenv("EXPERT_DATA_DIR", str(ixi))
    result = run(app, ["fetch", "brain-age"])
    assert result.exit_code == 0, result.output
    prototypes = load_model("brain-age").info.prototypes
    count = Counter(prototype.reference.dataset for prototype in prototypes)
    assert set(count) == {"IXI", "ds002748", "ds000011"}
    assert f"{count['IXI']} images are available" in result.output
    for name in ("ds002748", "ds000011"):
        assert f"{count[name]} images of {name} cannot be downloaded" in result.output
