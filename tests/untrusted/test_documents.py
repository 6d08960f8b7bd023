"""Tests of `expert.untrusted.documents`."""

from __future__ import annotations

import os

import pytest

from expert.untrusted.documents import parse_json, read_bytes, read_yaml


def test_json_is_parsed():
    assert parse_json('{"a": [1, 2.5, "x", null, true]}') == {"a": [1, 2.5, "x", None, True]}
    assert parse_json(b"[]") == []


@pytest.mark.parametrize(
    "document",
    ["", "{", "[" * 100_000, '{"a":' * 100_000, "NaN", "[Infinity]", "\0", '"\ud800"', "{'a': 1}"],
)
def test_what_is_no_document_is_refused(document):
    with pytest.raises(ValueError, match=r".+"):
        parse_json(document)


def test_a_long_document_is_refused_before_it_is_parsed():
    with pytest.raises(ValueError, match="longer than 0 kB"):
        parse_json("{" * 100, largest=99)


def test_a_document_of_many_values_is_refused():
    with pytest.raises(ValueError, match="million values"):
        parse_json("[" + "[]," * 5_000_000 + "1]")


def test_only_small_files_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_bytes(path, 100) == b"x" * 100
    with pytest.raises(ValueError, match="larger than"):
        read_bytes(path, 99)
    with pytest.raises(OSError, match=r".+"):
        read_bytes(tmp_path, 99)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none", 99)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a file"):
        read_bytes(tmp_path / "pipe", 99)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "[" * 5000,
        "name: 2001-13-45",
        "n: " + "9" * 9000,
        "!!timestamp x",
        "!!bool x",
        "!!int x",
        "!!python/object/apply:os.system [ls]",
        "!!python/name:os.system",
        "? [a]\n: 1",
        "a: \x07",
        "&a [*b]",
        "%YAML 9.9\n---\na",
    ],
)
def test_yaml_that_cannot_be_used_is_a_part_of_a_sentence(text, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"not valid YAML|nested too deeply") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_yaml_is_read_with_a_byte_order_mark_and_small(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_bytes("\ufeffa: [1, x]".encode())
    assert read_yaml(path) == {"a": [1, "x"]}
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_yaml(path)
    path.write_text("a: 1\n" * 100_000)
    with pytest.raises(ValueError, match="larger than 256 kB"):
        read_yaml(path)
