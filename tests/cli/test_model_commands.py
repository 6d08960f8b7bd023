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


def test_info_says_whom_averages_show(referring):
    output = " ".join(run(app, ["info", str(referring.file)]).output.split())
    assert "average heads" in output
    assert "2, each of 13 training subjects" in output
    assert "average heads" not in run(app, ["info", "phantom"]).output


def test_fetch_names_images_that_cannot_be_downloaded(ixi, empty_cache, monkeypatch):
    """All images of IXI and ds000011 are in the folder, so that nothing is downloaded."""
    monkeypatch.setenv("EXPERT_DATA_DIR", str(ixi.parent))
    prototypes = load_model("brain-age").info.prototypes
    count = Counter(prototype.reference.dataset for prototype in prototypes)
    assert set(count) == {"IXI", "ds002748", "ds000011"}
    result = run(app, ["fetch", "brain-age"])
    assert result.exit_code == 0, result.output
    assert f"{len(prototypes)} of {len(prototypes)} images are available" in result.output
    assert "Licence" not in result.output


def test_fetch_downloads_what_is_public_and_says_what_is_not(server, referring):
    result = run(app, ["fetch", str(referring.file)])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Licence: IXI dataset")
    assert "CC BY-SA 3.0" in result.output
    assert "2 of 3 images are available" in result.output
    assert "1 images are missing. Images of ds002748 cannot be downloaded" in result.output
    assert len(server.requests) == 2
    again = run(app, ["fetch", str(referring.file)])
    assert "2 of 3 images are available" in again.output
    assert len(server.requests) == 2


def test_fetch_offline_is_one_sentence(empty_cache, referring):
    result = run(app, ["fetch", str(referring.file), "--only", "1"])
    assert result.exit_code == 1
    assert "could not be downloaded" in result.output
    assert "Traceback" not in result.output
