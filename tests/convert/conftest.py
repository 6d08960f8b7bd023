"""Fixtures of these tests."""

from __future__ import annotations

import pytest
from helpers.published import PLAIN, Published, saved, small

from expert.convert.conversion import convert_checkpoint


@pytest.fixture(scope="session")
def net() -> Published:
    return small()


@pytest.fixture(scope="session")
def checkpoint(net, tmp_path_factory):
    return saved(net, tmp_path_factory.mktemp("checkpoint") / "weights.pth")


@pytest.fixture(scope="session")
def converted(checkpoint, tmp_path_factory):
    return convert_checkpoint(
        checkpoint, tmp_path_factory.mktemp("model") / "small one.safetensors", PLAIN
    )
