"""Files of an examination: in subfolders, archives and on CDs, incomplete or of other kinds."""

from __future__ import annotations

import gzip
import os
import zipfile

import pytest
from helpers.dicom_files import archive, series, write
from pydicom.fileset import FileSet

from expert.errors import InputError
from expert.imaging.dicom import finding
from expert.imaging.dicom.finding import dicom_files


def test_subfolders_are_searched_and_hidden_files_are_not(tmp_path):
    write(tmp_path / "DICOM" / "ST0" / "SE0", series(), "IM{:06d}")
    write(tmp_path / ".hidden", series()[:3])
    write(tmp_path / "__MACOSX", series()[:3])
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "T1.nii.gz").write_bytes(b"x")
    with dicom_files(tmp_path) as found:
        assert len(found.files) == 14
        assert found.others == ["T1.nii.gz"]
        assert found.damaged == []


@pytest.mark.parametrize("size", [0, 100, 300, 700, 1000])
def test_incomplete_files_are_found(tmp_path, size):
    path = write(tmp_path, series()) / "IM0005.dcm"
    path.write_bytes(path.read_bytes()[:size])
    (tmp_path / "done").write_bytes(b"")  # a mark of another program
    with dicom_files(tmp_path) as found:
        assert [file.name for file in found.damaged] == ["IM0005.dcm"]


def test_an_empty_file_with_the_name_of_a_slice_is_damaged(tmp_path):
    path = write(tmp_path, series(), "IM{:06d}") / "IM000014"
    path.write_bytes(b"")
    with dicom_files(tmp_path) as found:
        assert [file.damage for file in found.damaged] == ["has 0 bytes"]


def test_one_file_stands_for_its_folder(tmp_path):
    write(tmp_path, series())
    write(tmp_path / "other", series())
    with dicom_files(tmp_path / "IM0003.dcm") as found:
        assert found.chosen.name == "IM0003.dcm"
        assert len(found.files) == 14


@pytest.mark.parametrize("prefix", ["", "a/b/", "../../../", "/etc/", "C:\\windows\\"])
def test_an_archive_is_unpacked_into_a_temporary_folder_only(tmp_path, prefix, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(finding.tempfile, "tempdir", str(temporary))
    path = archive(tmp_path / "a.zip", write(tmp_path / "in", series()), prefix)
    before = sorted(tmp_path.rglob("*"))
    with dicom_files(path) as found:
        assert len(found.files) == 14
        assert all(temporary in file.path.parents for file in found.files)
        assert found.files[0].name.endswith("IM0001.dcm")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_is_bounded(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.zip", write(tmp_path / "in", series()))
    monkeypatch.setattr(finding, "MOST_FILES", 10)
    with pytest.raises(InputError, match="more than 10 files"), dicom_files(path):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(finding, "MOST_BYTES", 5000)
    with pytest.raises(InputError, match="more than"), dicom_files(path):
        pass


def test_damaged_and_protected_archives_are_refused(tmp_path):
    path = archive(tmp_path / "a.zip", write(tmp_path / "in", series()))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"), dicom_files(path):
        pass
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(tmp_path / "in" / "IM0001.dcm", "a.dcm")
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.rfind(b"PK\1\2") + 8] |= 1  # as if it were encrypted
    path.write_bytes(raw)
    with pytest.raises(InputError, match="password"), dicom_files(path):
        pass


def test_a_dicomdir_names_the_files_and_those_that_are_lost(tmp_path):
    files = FileSet()
    for file in series():
        file.StudyDate, file.StudyTime, file.StudyID = "20200101", "1", "1"
        files.add(file)
    files.write(tmp_path / "cd")
    with dicom_files(tmp_path / "cd" / "DICOMDIR") as found:
        assert len(found.files) == 14
        assert found.absent == 0
    with dicom_files(tmp_path / "cd") as found:
        assert len(found.files) == 14
    last = max(path for path in (tmp_path / "cd" / "PT000000").rglob("*") if path.is_file())
    last.unlink()
    with dicom_files(tmp_path / "cd" / "DICOMDIR") as found:
        assert found.absent == 1


def test_a_dicomdir_leads_to_no_file_outside_its_folder(tmp_path):
    write(tmp_path, series()[:1])
    (tmp_path / "cd").mkdir()
    for parts in (["..", "IM0001.dcm"], ["../IM0001.dcm"], ["", "IM0001.dcm"]):
        assert finding._below(tmp_path / "cd", parts) is None
    assert finding._below(tmp_path, ["im0001.DCM"]) == tmp_path / "IM0001.dcm"


def test_other_files_are_no_dicom(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"x" * 500)
    with pytest.raises(InputError, match="not DICOM"), dicom_files(tmp_path / "a.nii"):
        pass
    write(tmp_path, series())
    (tmp_path / "IM9999.dcm").symlink_to(tmp_path / "nowhere")
    if hasattr(os, "mkfifo"):  # not on Windows
        os.mkfifo(tmp_path / "pipe")
    with dicom_files(tmp_path) as found:
        assert len(found.files) == 14


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    write(tmp_path, series())
    monkeypatch.setattr(finding, "MOST_FILES", 10)
    with pytest.raises(InputError, match="more than 10 files"), dicom_files(tmp_path):
        pass


def test_compressed_slices_are_named(tmp_path):
    for path in write(tmp_path, series()).iterdir():
        path.with_suffix(".dcm.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    with dicom_files(tmp_path) as found:
        assert found.files == []
        assert {file.damage.split(":")[0] for file in found.damaged} == {
            "is a compressed DICOM file"
        }
