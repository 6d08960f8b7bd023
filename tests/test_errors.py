"""Tests of `expert.errors`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from expert.errors import Cancelled, ExpertError, InputError, ModelError, RecipeError, first_problem
from expert.schema import Architecture, Label


def test_one_class_catches_every_error_that_a_user_can_act_on():
    for kind in (InputError, ModelError, RecipeError, Cancelled):
        assert issubclass(kind, ExpertError)


def test_the_first_problem_names_the_field():
    with pytest.raises(ValidationError) as caught:
        Architecture(prototypes=1, radius=-1.0)
    assert first_problem(caught.value).startswith("prototypes: ")


def test_a_problem_of_the_whole_document_is_named_as_such():
    with pytest.raises(ValidationError) as caught:
        Label(minimum=3, maximum=2)
    assert first_problem(caught.value).startswith("the document: ")
