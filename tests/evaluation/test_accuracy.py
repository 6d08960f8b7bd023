"""Tests of `expert.evaluation.accuracy`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.squares import draw_squares

from expert.datasets.table import read_table
from expert.evaluation.accuracy import distinct_prototypes, evaluate, prototype_subjects
from expert.model_file import load_model
from expert.schema import ImageReference, SiteFigures


@pytest.fixture(scope="module")
def tiny(tiny_model_file):
    return load_model(tiny_model_file)


@pytest.fixture(scope="module")
def result(tiny, squares):
    return evaluate(tiny, squares, jobs=1)


def test_errors_are_those_of_the_rows(result):
    labels, predictions = (
        np.array([row[name] for row in result.rows]) for name in ("label", "prediction")
    )
    assert len(labels) == result.errors.images == 24
    assert result.errors.mae == pytest.approx(np.abs(predictions - labels).mean())
    assert not result.failed
    assert 0 <= result.unlike_training < 0.3
    assert result.explanations is None


def test_the_interval_covers_what_it_says(result, tiny):
    inside = [
        abs(row["prediction"] - row["label"]) <= tiny.info.calibration.half_width
        for row in result.rows
    ]
    assert result.interval_coverage == pytest.approx(np.mean(inside))
    assert ("90% interval covers", f"{np.mean(inside):.1%}") in result.lines()


def test_without_a_calibration_no_coverage_is_given(tiny, squares):
    info = tiny.info.model_copy(update={"calibration": None})
    found = evaluate(replace(tiny, info=info), squares, jobs=1)
    assert found.interval_coverage is None
    assert not any("interval" in name for name, _ in found.lines())


def test_prototypes_are_counted_by_subject_or_by_latent(tiny, result):
    assert distinct_prototypes(tiny) == result.distinct_prototypes == 6
    latents = tiny.tensors["weights.prototypes"].copy()
    latents[1] = latents[0]
    same = replace(tiny, tensors=tiny.tensors | {"weights.prototypes": latents})
    assert prototype_subjects(same)[0] == prototype_subjects(same)[1]
    assert distinct_prototypes(same) == 5


def test_the_result_is_saved_as_json(result, tmp_path):
    document = json.loads(result.save(tmp_path / "e.json").read_text())
    assert document["errors"]["mae"] == result.errors.mae
    assert document["rows"] == result.rows
    assert result.images[0].subject == "square-00.png"
    assert "square-00" not in (tmp_path / "e.json").read_text()


@pytest.fixture(scope="module")
def two_sites(tmp_path_factory) -> Path:
    """Two sites; the second one's images are brighter than their labels say, one is damaged."""
    folder = tmp_path_factory.mktemp("sites")
    north, south = (draw_squares(folder / name, 8, seed) for name, seed in (("n", 5), ("s", 6)))
    lines = ["file,label,pixel_size_mm,site"]
    for table, site, shift in ((north, "North", 0), (south, "South", -15)):
        for row in table.read_text().splitlines()[1:]:
            file, label, size = row.split(",")
            lines.append(f"{table.parent.name}/{file},{float(label) + shift},{size},{site}")
    (folder / "s" / "square-03.png").write_text("no image")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


@pytest.fixture(scope="module")
def by_site(tiny, two_sites):
    return evaluate(tiny, two_sites, jobs=1)


def test_an_image_that_cannot_be_used_is_counted_and_listed(by_site):
    assert by_site.refused == 1
    assert by_site.errors.images == 15
    assert len(by_site.rows) == 16
    (row,) = [row for row in by_site.rows if row["refused"]]
    assert row["row"] == 12
    assert row["prediction"] is None
    assert "square-03.png" in row["refused"]
    assert by_site.refusals() == [f"Image 12: {row['refused']}"]
    assert ("refused", "1") in by_site.lines()


def test_figures_of_every_site_are_those_of_its_images(by_site, tiny):
    north, south, everything = by_site.by_site
    assert [north.name, south.name, everything.name] == ["North", "South", "all"]
    assert (south.heads, south.refused, south.errors.images) == (8, 1, 7)
    for site in (north, south):
        rows = [row for row in by_site.rows if row["site"] == site.name and not row["refused"]]
        error = np.array([row["prediction"] - row["label"] for row in rows])
        assert site.errors.mae == pytest.approx(np.abs(error).mean())
        assert site.errors.mean_error == pytest.approx(error.mean())
        assert site.errors.mae_low <= site.errors.mae <= site.errors.mae_high
        assert site.unlike_training == pytest.approx(np.mean([r["unlike_training"] for r in rows]))
    assert south.errors.mean_error > north.errors.mean_error + 10
    assert south.interval_coverage < north.interval_coverage
    assert everything.errors == by_site.errors


def test_a_table_by_site_needs_two_sites(by_site, result):
    header, *rows = by_site.site_lines()
    assert [row[0] for row in rows] == ["North", "South", "all"]
    assert all(len(row) == len(header) for row in rows)
    assert result.site_lines() == []


def test_sites_fit_a_model_file(by_site, tiny, tmp_path):
    document = json.loads(by_site.save(tmp_path / "e.json").read_text())
    sites = tuple(SiteFigures.model_validate(site) for site in document["sites"])
    assert [site.name for site in sites] == ["North", "South"]
    assert sites[1].subjects == 7
    assert sites[0].kind == "external"
    assert tiny.info.model_copy(update={"sites": sites}).model_dump_json()


def test_sites_whose_images_trained_the_model_are_not_external(tiny, two_sites, by_site):
    """A prototype shows an image of the second site."""
    assert by_site.prototype_images == 0
    entry = read_table(two_sites)[8]
    reference = ImageReference(
        dataset="South", subject=entry.subject, file=entry.public_name, sha256=entry.sha256
    )
    first, *others = tiny.info.prototypes
    prototypes = (first.model_copy(update={"reference": reference}), *others)
    info = tiny.info.model_copy(update={"prototypes": prototypes})
    found = evaluate(replace(tiny, info=info), two_sites, jobs=1)
    assert found.prototype_images == 1
    assert [site["name"] for site in found.sites] == ["North"]


def test_without_sites_the_folder_is_the_site(result, squares):
    assert [site.name for site in result.by_site] == [squares.parent.name, "all"]


def test_the_interval_is_the_wider_one_where_an_image_is_flagged(tiny, two_sites, by_site):
    limits = {"familiarity": None, "nearest_distance_limit": 1e-9}
    narrow = tiny.info.calibration.model_copy(update=limits | {"half_width": 0.5})
    wide = narrow.model_copy(update={"shifted_half_width": 500.0})
    found = [
        evaluate(
            replace(tiny, info=tiny.info.model_copy(update={"calibration": calibration})),
            two_sites,
            jobs=1,
        )
        for calibration in (narrow, wide)
    ]
    assert found[0].unlike_training == found[1].unlike_training == 1
    assert found[0].interval_coverage < 0.5
    assert found[1].interval_coverage == 1
