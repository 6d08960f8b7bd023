"""Tests of `expert.convert.facts`."""

from __future__ import annotations

import pytest

from expert.convert.facts import read_facts
from expert.errors import InputError


def test_facts_from_a_file_and_from_options(tmp_path):
    path = tmp_path / "facts.yaml"
    path.write_text(
        "label_unit: weeks\nlabel_name: gestational age\nspace: image\nlicence: CC BY "
        "4.0\npositions_mm: [3, 7]\n"
    )
    facts = read_facts(path, label_name="age", dataset=None)
    assert (facts.label_unit, facts.label_name, facts.space, facts.licence) == (
        "weeks",
        "age",
        "image",
        "CC BY 4.0",
    )
    assert (facts.positions_mm, facts.dataset) == ((3.0, 7.0), "unknown")
    for text, words in (
        ("label_unit: [", "not valid YAML"),
        ("- 3", "name: value"),
        ("label_unit: y\nspace: talairach", "space"),
        ("label_unit: y\nunit: y", "unit"),
        ("space: image", "--unit years"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words) as caught:
            read_facts(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="nowhere"):
        read_facts(tmp_path / "nowhere.yaml")
