"""Tests of `expert.files`: a file is written completely or not at all."""

from __future__ import annotations

import pytest

from expert.files import replacing


def test_the_file_is_there_at_the_end_of_the_block(tmp_path):
    target = tmp_path / "a.json"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".json"
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_write_leaves_the_former_file(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")

    def interrupted():
        with replacing(target) as temporary:
            temporary.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="missing"), replacing(tmp_path / "missing" / "a") as path:
        path.write_text("x")
