"""Tests of `expert.cohort.inputs`."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers.dicom_files import series, write

from expert.cohort.inputs import expand, items
from expert.errors import InputError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def names(found) -> list[str]:
    return [item.name for item in found]


def test_a_path_is_listed_as_given_even_if_it_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a.nii", "odd[1].nii")
    assert names(items(["./a.nii", "b.nii", "odd[1].nii"])) == ["./a.nii", "b.nii", "odd[1].nii"]


def test_globs_are_sorted_and_keep_the_way_they_were_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "x/b.nii.gz", "x/a.nii.gz", "x/y/c.nii.gz", "x/note.txt")
    assert names(expand("x/*.nii.gz")) == ["x/a.nii.gz", "x/b.nii.gz"]
    assert names(expand("x/**/*.nii.gz")) == ["x/a.nii.gz", "x/b.nii.gz", "x/y/c.nii.gz"]
    (nothing,) = expand("x/*.nrrd")
    assert nothing.problem == "No file matches x/*.nrrd."


def test_a_folder_of_images_a_series_and_a_folder_of_series(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "f/b.NII.GZ", "f/a.nrrd", "f/c.img", "f/c.hdr", "f/d.png", "f/t.csv")
    touch(tmp_path, "d/p1/IM0001", "d/p2/st/IM0001", "d/.hidden/IM0001")
    (tmp_path / "e").mkdir()
    assert names(expand("f", plain=False)) == ["f/a.nrrd", "f/b.NII.GZ", "f/c.img"]
    assert names(expand("f")) == ["f/a.nrrd", "f/b.NII.GZ", "f/c.img", "f/d.png"]
    assert names(expand("d/p1")) == ["d/p1"]
    assert names(expand("d")) == ["d/p1", "d/p2/st"]
    (nothing,) = expand("e")
    assert nothing.problem == "The folder e is empty."


def test_a_series_beside_other_images_is_not_left_out(tmp_path):
    write(tmp_path, series())
    touch(tmp_path, "a.nii.gz", "preview.jpg", "DICOMDIR", "note.txt")
    found = [item.path.name for item in items([tmp_path], plain=False)]
    assert found == ["IM0001.dcm", "a.nii.gz"]
    found = [item.path.name for item in items([tmp_path])]
    assert found == ["IM0001.dcm", "a.nii.gz", "preview.jpg"]


def test_a_bids_data_set_gives_its_t1_images_with_their_ages(tmp_path):
    touch(
        tmp_path,
        "dataset_description.json",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T2w.nii.gz",
        "sub-01/func/sub-01_bold.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii",
        "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii",
        "sub-03/anat/sub-03_T1w.nii.gz",
        "derivatives/sub-01/anat/sub-01_T1w.nii.gz",
    )
    (tmp_path / "participants.tsv").write_text(
        "participant_id\tage\nsub-01\t31\nsub-02\t40\nsub-03\tn/a\n"
    )
    (tmp_path / "sub-02" / "sub-02_sessions.tsv").write_text("session_id\tage\nses-b\t43\n")
    found = items([tmp_path])
    assert [Path(item.name).name for item in found] == [
        "sub-01_T1w.nii.gz", "sub-02_ses-a_T1w.nii", "sub-02_ses-b_T1w.nii", "sub-03_T1w.nii.gz",
    ]  # fmt: skip
    assert [item.label for item in found[:3]] == [31, 40, 43]
    assert math.isnan(found[3].label)
    assert [item.subject for item in found] == ["sub-01", "sub-02", "sub-02", "sub-03"]


def test_bids_is_recognised_by_its_subjects_and_may_have_no_t1_image(tmp_path):
    touch(tmp_path, "one/sub-1/anat/sub-1_T1w.nii.gz", "two/dataset_description.json")
    (one,) = expand(tmp_path / "one")
    assert one.subject == "sub-1"
    assert math.isnan(one.label)
    (two,) = expand(tmp_path / "two")
    assert "contains no T1-weighted image" in two.problem


def test_tables_carry_labels_subjects_and_pixel_sizes(tmp_path):
    (tmp_path / "t.csv").write_text(
        "file,age,subject,pixel_size_mm\na.png,30,s,0.5\nb.png,,s,\nc.png,n/a,t,\n"
    )
    found = items([tmp_path / "t.csv"])
    assert found == items([], tmp_path / "t.csv") or math.isnan(found[1].label)
    assert (found[0].name, found[0].path) == ("a.png", tmp_path / "a.png")
    assert (found[0].label, found[0].pixel_size_mm, found[0].subject) == (30, 0.5, "s")
    assert [math.isnan(item.label) for item in found] == [False, True, True]


def test_a_parquet_table_is_read_like_csv(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"file": ["a.png", "b.png"], "age_years": [30.5, None]})
    parquet.write_table(table, tmp_path / "t.parquet")
    found = items([tmp_path / "t.parquet"])
    assert names(found) == ["a.png", "b.png"]
    assert found[0].label == 30.5
    assert math.isnan(found[1].label)
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(InputError, match="could not be read"):
        items([tmp_path / "bad.parquet"])


def test_a_file_given_twice_is_listed_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a.nii", "b.nii")
    assert names(items(["a.nii", "./a.nii", "*.nii"])) == ["a.nii", "b.nii"]
    (tmp_path / "t.csv").write_text("file,age,subject\nb.nii,30,s\n")
    a, b = items(["*.nii", "t.csv"])
    assert math.isnan(a.label)
    assert (b.name, b.label, b.subject) == ("b.nii", 30, "s")
    (tmp_path / "t.csv").write_text("file,age\na.nii,30\na.nii,40\n")
    with pytest.raises(InputError, match=r"a\.nii is given twice with different labels"):
        items(["t.csv"])


def test_two_files_of_one_name_are_refused(tmp_path):
    for site in ("x", "y"):
        touch(tmp_path, f"{site}/a.nii")
        (tmp_path / site / "t.csv").write_text("file\na.nii\n")
    with pytest.raises(InputError, match=r"Two different files are named a\.nii"):
        items([tmp_path / "x" / "t.csv", tmp_path / "y" / "t.csv"])


def test_nothing_is_refused():
    with pytest.raises(InputError, match="Nothing to predict"):
        items([])


def test_slices_of_one_series_are_one_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, series())
    touch(tmp_path, "a.nii", "b.mgz")
    found = names(items(["a.nii", "*/*.dcm", "b.mgz"]))
    assert found == ["a.nii", "one/IM0001.dcm", "two/IM0001.dcm", "b.mgz"]
    assert names(items(["one", "two"])) == ["one", "two"]
