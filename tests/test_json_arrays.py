"""Tests of `expert.json_arrays`."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from expert.json_arrays import Array, Budget, inflate


class Document(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    values: Array


@pytest.mark.parametrize("kind", ["<f8", "<f2", "u1", "?"])
def test_arrays_survive_json(kind):
    values = np.arange(12).reshape(3, 4).astype(kind)
    found = Document.model_validate_json(Document(values=values).model_dump_json()).values
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_an_array_of_another_size_than_stated_is_refused():
    packed = base64.b64encode(zlib.compress(bytes(80))).decode()
    with pytest.raises(ValidationError, match="does not match its shape"):
        Document.model_validate({"values": {"dtype": "<f8", "shape": [9], "zlib_base64": packed}})


def test_compressed_data_of_another_size_are_refused():
    packed = zlib.compress(bytes(1000))
    assert inflate(packed, 1000) == bytes(1000)
    for size in (999, 1001):
        with pytest.raises(ValueError, match="size"):
            inflate(packed, size)


def test_arrays_of_a_document_together_have_a_limit():
    text = Document(values=np.zeros(100)).model_dump_json()
    assert Document.model_validate_json(text, context=Budget(800)).values.shape == (100,)
    with pytest.raises(ValidationError, match="too large"):
        Document.model_validate_json(text, context=Budget(799))


def test_json_without_a_stored_array_is_refused():
    with pytest.raises(ValidationError, match="an array is missing"):
        Document.model_validate_json('{"values": [1, 2]}')
