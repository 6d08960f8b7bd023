"""Tests of `expert.json_arrays`."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from expert.json_arrays import Array


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
