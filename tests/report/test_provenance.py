"""Tests of `expert.report.provenance`: how the explanation was computed, in the report."""

from __future__ import annotations

import datetime

import pytest

from expert.report.document import Paragraph, Table
from expert.report.provenance import METHOD, model_section, origin_section, settings_section
from expert.schema import ImageReference, SiteFigures


def rows(section) -> dict[str, str]:
    (first,) = [block for block in section.blocks if isinstance(block, Table)][:1]
    return {row[0].text: row[1].text for row in first.rows}


def test_settings_of_the_method_are_there(explanation, model):
    about = rows(settings_section(explanation, model.info))
    assert about["prototypes"].startswith(f"3 of {len(explanation.labels)} ")
    assert f"{explanation.radius:g} years" in about["radius"]
    assert about["patches"].startswith("6×5 = 30 in each view")
    assert "optimal transport" in about["regularisation"]
    assert "orientation" in about
    assert "not acceptable" not in about["registration"]
    without = rows(settings_section(explanation, None))
    assert "regularisation" not in without


@pytest.mark.parametrize(("field", "row"), [("guide", "matching"), ("prior", "spatial prior")])
def test_what_decides_the_matching_is_said_where_it_does(explanation, field, row):
    used = explanation.model_copy(update={field: 1})
    unused = explanation.model_copy(update={field: 0})
    assert row in rows(settings_section(used, None))
    assert row not in rows(settings_section(unused, None))


def test_a_registration_that_failed_is_said(explanation):
    failed = explanation.registration.model_copy(update={"acceptable": False})
    e = explanation.model_copy(update={"registration": failed})
    assert "not acceptable" in rows(settings_section(e, None))["registration"]


def test_the_model_its_training_and_its_error(explanation, model):
    about = rows(model_section(explanation, model.info))
    assert about["sha256"] == explanation.model_sha256
    assert model.info.training.subjects_text in about["trained on"]
    assert f"{model.info.validation['mae']:.1f} years" in about["error"]
    assert "collapsed" not in about
    collapsed = model.info.model_copy(update={"collapsed": "It predicts the mean."})
    assert rows(model_section(explanation, collapsed))["collapsed"] == "It predicts the mean."


def test_figures_of_every_site_are_listed(explanation, model):
    def texts(info):
        blocks = model_section(explanation, info).blocks
        return [cell.text for b in blocks if isinstance(b, Table) for row in b.rows for cell in row]

    site = SiteFigures(
        name="Northtown",
        kind="site held out",
        subjects=40,
        mae=5.123,
        mean_error=-1.5,
        label_range=(19.0, 81.5),
    )
    shown = texts(model.info.model_copy(update={"sites": (site,)}))
    assert set(shown) >= {"Northtown", "site held out", "40", "19 – 81.5", "5.12", "-1.50"}
    assert "Northtown" not in texts(model.info)


def test_references_are_listed_without_their_paths(explanation):
    reference = ImageReference(
        dataset="Public heads", subject="S-017", file="T1/S-017.nii.gz", sha256="ab" * 32
    )
    match = explanation.prototypes[0].model_copy(update={"reference": reference})
    e = explanation.model_copy(update={"prototypes": (match, *explanation.prototypes[1:])})
    table = model_section(e, None).blocks[-1]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["#1", "Public heads", "S-017", "ab" * 32]
    ]


def test_origin_names_software_date_and_method(explanation):
    section = origin_section(explanation)
    about = rows(section)
    assert about["method"] == METHOD
    assert datetime.date.today().isoformat() in about["report"]
    assert all(version in about["computed with"] for version in explanation.versions.values())
    (limits,) = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert "does not show that a patch caused the prediction" in limits
