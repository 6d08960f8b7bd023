"""Tests of `expert.datasets.fetching`: real downloads from a server on this computer."""

from __future__ import annotations

import io
import shutil
import zipfile

import numpy as np
import pytest
from helpers.file_server import serving
from PIL import Image

from expert.datasets.derived_images import grey_pixels, pixels_checksum
from expert.datasets.fetching import (
    cache_folder,
    cached_file,
    fetch_images,
    fetch_reference,
    licences,
    obstacle,
    public_address,
    remarks,
)
from expert.datasets.prototype_images import find_reference
from expert.errors import Cancelled, InputError
from expert.model_file import load_model
from expert.schema import ImageReference

SHIPPED = load_model("brain-age").info.prototypes


@pytest.fixture
def references(referring):
    return [prototype.reference for prototype in load_model(referring.file).info.prototypes]


def test_an_image_is_downloaded_once_and_found(server, references, referring):
    steps = []
    paths = fetch_images(references[:2], lambda name, fraction: steps.append((name, fraction)))
    for path, reference in zip(paths, references, strict=False):
        original = referring.data / reference.dataset / reference.file
        assert path.read_bytes() == original.read_bytes()
        assert path == cached_file(reference) == find_reference(reference)[0]
        assert cache_folder() in path.parents
    fractions = [fraction for _, fraction in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {name for name, _ in steps} == {"a.nii.gz", "b.nii.gz"}
    assert len(steps) > 6
    assert [path for path, _ in server.requests] == ["/IXI/T1/a.nii.gz", "/IXI/T1/b.nii.gz"]
    fetch_images(references[:2])
    assert len(server.requests) == 2


def test_an_interrupted_download_goes_on_where_it_ended(server, references, referring):
    server.breaks_after = 300_000
    with pytest.raises(InputError, match=r"a\.nii\.gz could not be downloaded"):
        fetch_reference(references[0])
    part = cached_file(references[0]).with_name("a.nii.gz.part")
    arrived = part.stat().st_size
    assert 200_000 < arrived <= 300_000
    assert find_reference(references[0])[0] is None
    server.breaks_after = None
    fetch_reference(references[0])
    assert server.requests[-1] == ("/IXI/T1/a.nii.gz", f"bytes={arrived}-")
    assert not part.exists()


def test_cancel_keeps_what_arrived(server, references):
    def cancel(name, fraction):
        if fraction > 0.3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        fetch_reference(references[0], cancel)
    fetch_reference(references[0])
    start = int(server.requests[-1][1].removeprefix("bytes=").rstrip("-"))
    assert start > 0


@pytest.mark.parametrize("begun", ["other", "longer", "complete"])
def test_a_download_begun_with_something_else_starts_again(server, references, referring, begun):
    right = (referring.data / "IXI/T1/a.nii.gz").read_bytes()
    part = cached_file(references[0]).with_name("a.nii.gz.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(
        {"other": bytes(1000), "longer": bytes(len(right) + 5), "complete": right}[begun]
    )
    assert fetch_reference(references[0]).read_bytes() == right


def test_a_server_without_ranges_sends_the_whole_file(server, references, referring):
    server.resumable = False
    part = cached_file(references[0]).with_name("a.nii.gz.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1000))
    path = fetch_reference(references[0])
    assert path.read_bytes() == (referring.data / "IXI/T1/a.nii.gz").read_bytes()


def downloaded(folder):
    """Files, complete or not; locks are empty and stay."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_another_file_is_not_taken(server, references):
    wrong = references[0].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(InputError, match="checksum is not that of the image in the model"):
        fetch_reference(wrong)
    assert not downloaded(cache_folder())


def test_a_damaged_file_of_the_cache_is_downloaded_again(server, references, referring):
    path = cached_file(references[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    fetch_reference(references[0])
    assert path.read_bytes() == (referring.data / "IXI/T1/a.nii.gz").read_bytes()


@pytest.mark.parametrize("what", ["folder vanishes", "a folder has the name"])
def test_a_cache_that_cannot_be_used_is_one_sentence(server, references, what):
    target = cached_file(references[0])
    if what == "a folder has the name":
        target.mkdir(parents=True)

    def report(name, fraction):
        if what == "folder vanishes" and 0 < fraction < 1:
            shutil.rmtree(cache_folder(), ignore_errors=True)

    with pytest.raises(InputError, match=r"Check this folder") as caught:
        fetch_reference(references[0], report)
    assert str(target.parent) in str(caught.value)
    if what == "a folder has the name":
        target.rmdir()
    assert fetch_reference(references[0]).is_file()


def test_a_missing_file_is_one_sentence(server, references):
    gone = references[0].model_copy(update={"file": "T1/gone.nii.gz"})
    with pytest.raises(InputError, match="the server replied 404") as caught:
        fetch_reference(gone)
    assert str(caught.value).count(". ") == 0


def test_offline_it_is_one_sentence(empty_cache, references):
    with pytest.raises(InputError, match="check the network connection") as caught:
        fetch_reference(references[0])
    message = str(caught.value)
    assert message.count(". ") == 0
    assert "choose it or set EXPERT_DATA_DIR" in message
    assert not downloaded(empty_cache)


def test_resampled_and_private_images_are_not_tried(server, references):
    resampled, private = references[2], references[0].model_copy(update={"dataset": "ours"})
    for reference, reason in (
        (resampled, "resampled before the training"),
        (private, "not public"),
    ):
        assert public_address(reference) is None
        assert reason in obstacle(reference)
        with pytest.raises(InputError, match=reason):
            fetch_reference(reference)
        assert reason in find_reference(reference)[1]
    assert not server.requests


HOSTILE = (
    "../../x.nii", "a/../../x.nii", "/etc/x.nii", "..\\x.nii", "C:x.nii", "a?b=c", "", ".",
    "\\\\host\\share\\x.nii", "http://a.example/x.nii", "file:///etc/x.nii", "a\0b.nii",
    "\x1b[31mx.nii", "a\nb.nii", "\u202egnp.nii",
)  # fmt: skip
"""File names in a model that lead outside the data set, or are none."""


@pytest.mark.parametrize("file", HOSTILE)
def test_a_model_cannot_write_outside_the_cache(server, references, file):
    outside = references[0].model_copy(update={"file": file})
    assert public_address(outside) is None
    with pytest.raises(InputError, match="states no file of it"):
        fetch_reference(outside)
    assert not server.requests


@pytest.mark.parametrize("file", ["{outside}", "../outside.nii.gz"])
def test_a_model_cannot_have_a_file_outside_the_folder_read(referring, references, tmp_path, file):
    inside, outside = tmp_path / "inside", tmp_path / "outside.nii.gz"
    inside.mkdir()
    original = referring.data / references[0].dataset / references[0].file
    outside.write_bytes(original.read_bytes())
    reference = references[0].model_copy(update={"file": file.format(outside=outside)})
    path, message = find_reference(reference, [inside])
    assert path is None
    assert "no usable file" in message
    (inside / "outside.nii.gz").write_bytes(original.read_bytes())
    named = references[0].model_copy(update={"file": "outside.nii.gz"})
    assert find_reference(named, [inside])[0] == inside / "outside.nii.gz"


@pytest.mark.parametrize("address", ["http://images.example", "ftp://127.0.0.1", "file:///tmp"])
def test_only_encrypted_connections_are_opened(empty_cache, references, monkeypatch, address):
    monkeypatch.setenv("EXPERT_MIRROR", address)
    with pytest.raises(InputError, match="only downloaded over https"):
        fetch_reference(references[0])


def test_public_addresses_and_licences_of_the_shipped_models(monkeypatch):
    monkeypatch.delenv("EXPERT_MIRROR", raising=False)
    found = {one.reference.dataset: one.reference for one in SHIPPED}
    ixi, openfmri = found["IXI"], found["ds000011"]
    assert public_address(ixi).startswith("https://raw.githubusercontent.com/CBICA/NiChart_Project")
    assert public_address(ixi).endswith(f"/Nifti/{ixi.file}")
    scan = openfmri.file.removeprefix("T1/")
    assert public_address(openfmri) == (
        f"https://s3.amazonaws.com/openneuro.org/ds000011/{scan[:6]}/anat/{scan}"
    )
    assert [text.split(",")[0] for text in licences([ixi, openfmri, ixi])] == [
        "IXI dataset",
        "OpenfMRI ds000011",
    ]
    assert obstacle(found["ds002748"])


@pytest.fixture
def ultrasound(tmp_path, empty_cache, monkeypatch):
    """A server with an archive of two originals, and references to their halves."""
    generator = np.random.default_rng(1)
    folder, found = tmp_path / "served" / "HC18", []
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "training_set.zip", "w") as archive:
        for number in (1, 2):
            stream = io.BytesIO()
            picture = Image.fromarray(generator.integers(0, 256, (540, 800), dtype=np.uint8))
            picture.save(stream, "PNG")
            archive.writestr(f"training_set/{number}_HC.png", stream.getvalue())
            half = np.asarray(picture.resize((400, 270), Image.Resampling.BOX))
            found.append(
                ImageReference(
                    dataset="HC18 (half resolution)",
                    subject=str(number),
                    file=f"{number}_HC.png",
                    sha256="1" * 64,
                    pixel_size_mm=0.2,
                    pixels_sha256=pixels_checksum(half),
                )
            )
    with serving(folder.parent) as running:
        monkeypatch.setenv("EXPERT_MIRROR", running.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running, found


def test_halves_are_made_from_one_archive_and_verified_by_their_pixels(ultrasound):
    server, references = ultrasound
    (remark,) = remarks(references)
    assert "only used if their pixels are those of the training" in remark
    server.breaks_after = 200_000
    with pytest.raises(InputError, match=r"training_set\.zip could not be downloaded"):
        fetch_images(references)
    server.breaks_after = None
    paths = fetch_images(references)
    assert len(server.requests) == 2
    assert server.requests[1][1]
    for path, reference in zip(paths, references, strict=True):
        assert find_reference(reference) == (path, "")
        assert pixels_checksum(grey_pixels(path)) == reference.pixels_sha256
    wrong = references[0].model_copy(update={"pixels_sha256": "2" * 64})
    assert find_reference(wrong)[0] is None
    with pytest.raises(InputError, match="no known way to halve it"):
        fetch_reference(wrong)


def test_without_a_checksum_of_the_pixels_halves_are_not_made(ultrasound):
    server, references = ultrasound
    older = references[0].model_copy(update={"pixels_sha256": None})
    assert public_address(older) is None
    assert "halved before the training" in obstacle(older)
    assert not server.requests
