"""Tests of `napari_expert.readers`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.dicom_files import archive, series, ultrasound, write
from helpers.window import notifications, panels

import expert
from expert.errors import InputError, SeriesChoiceError
from napari_expert import readers
from napari_expert.layer_geometry import layer_arguments
from napari_expert.readers import get_reader


def test_a_dropped_model_is_chosen_in_the_panel(viewer, model_file):
    assert viewer.open(str(model_file), plugin=None) == []
    (panel,) = panels(viewer)
    assert panel.input.model == str(model_file)
    assert len(viewer.layers) == 0
    panel.close_down()


def test_a_dropped_explanation_is_shown_without_its_image(viewer, saved, explanation):
    assert viewer.open(str(saved), plugin=None) == []
    (panel,) = panels(viewer)
    assert panel.explanation.prediction == explanation.prediction
    assert len(panel.result_layers.tiles) == 4
    panel.close_down()


def test_a_dropped_explanation_is_shown_beside_its_image(
    viewer, empty_panel, saved, explanation, head
):
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments, name="head")
    viewer.open(str(saved), plugin=None)
    assert empty_panel.explanation.prediction == explanation.prediction
    assert "head" in viewer.layers


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-50], lambda content: b"no model"], ids=["cut", "text"]
)
def test_a_damaged_model_is_told_and_changes_nothing(
    viewer, empty_panel, model_file, explanation, damage
):
    empty_panel.show_explanation(explanation)
    model_file.write_bytes(damage(model_file.read_bytes()))
    assert viewer.open(str(model_file), plugin=None) == []
    assert notifications()[-1].startswith("theirs.safetensors is not a readable model file")
    assert empty_panel.input.model == "phantom"
    assert empty_panel.explanation is explanation


def test_a_damaged_explanation_is_told_and_changes_nothing(viewer, empty_panel, saved, explanation):
    empty_panel.show_explanation(explanation)
    saved.write_text(saved.read_text()[:20_000])
    assert viewer.open(str(saved), plugin=None) == []
    assert "is not an explanation saved by napari-expert" in notifications()[-1]
    assert empty_panel.explanation is explanation


def test_other_peoples_files_are_left_to_them(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "other.json").write_text(json.dumps({"schema_version": 1, "data": [1, 2]}))
    (tmp_path / "text.json").write_bytes(b"\xff\xfe nothing")
    for name in ("other.safetensors", "other.json", "text.json", "missing.json"):
        assert readers.get_reader(str(tmp_path / name)) is None


def test_kinds_are_not_mixed(model_file, saved, head_file):
    assert readers.get_reader([str(head_file), str(head_file)]) is readers.read
    assert readers.get_reader([str(model_file), str(head_file)]) is None
    assert readers.get_reader([]) is None


def test_without_a_window_a_model_names_the_way(model_file, saved):
    for path, way in ((model_file, "expert.load_model"), (saved, "expert.Explanation.load")):
        with pytest.raises(InputError, match=way):
            readers.get_reader(str(path))(str(path))


def test_the_reader_leaves_other_files_alone(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"")
    assert get_reader(str(tmp_path / "a.tif")) is None
    assert get_reader(str(tmp_path)) is None


@pytest.mark.visible
def test_1_opens_a_volume_by_file_folder_or_sample(viewer, head_file):
    viewer.open(str(head_file), plugin="napari-expert")
    assert viewer.layers[0].metadata["expert_affine"]
    viewer.open_sample("napari-expert", "phantom-30")
    assert len(viewer.layers) == 2


@pytest.mark.visible
@pytest.mark.parametrize("name", ["broken.safetensors", "broken.json"])
def test_a_damaged_file_dropped_on_a_result_changes_nothing(
    viewer, panel, explanation, tmp_path, name
):
    panel.show_explanation(explanation)
    panel.session.toggle_mode("lines")
    panel.session.set_focus(0, panel.session.patches[2], pin=True)
    kept = (
        panel.result_layers,
        panel.result_layers.mode,
        panel.session.focus,
        panel.input.model,
        [layer.name for layer in viewer.layers],
    )
    path = tmp_path / name
    if name.endswith(".json"):
        path = explanation.save(path)
        path.write_text(path.read_text()[:-2000])
    else:
        path.write_bytes(expert.load_model("phantom").path.read_bytes()[:100_000])
    viewer.open(str(path), plugin="napari-expert")
    assert (
        panel.result_layers,
        panel.result_layers.mode,
        panel.session.focus,
        panel.input.model,
        [l.name for l in viewer.layers],  # noqa: E741
    ) == kept


def test_a_head_with_a_few_bright_voxels_is_not_dark(head, tmp_path):
    bright = head.data.astype(np.float32)
    plain = readers.window(bright)
    bright[5, 5, :4] = 50 * bright.max()
    file = expert.write_volume(expert.Volume(bright, head.affine), tmp_path / "bright.nii.gz")
    ((data, arguments, _),) = readers.read(str(file))
    low, high = arguments["contrast_limits"]
    assert (low, high) == pytest.approx(plain, rel=0.05)
    assert high < 0.1 * data.max()
    assert readers.window(np.zeros((4, 4, 4))) == (0.0, 1.0)
    assert readers.window(np.full((4, 4, 4), np.nan)) == (0.0, 1.0)


def test_what_the_command_reads_is_claimed_by_its_content(tmp_path):
    import nibabel as nib

    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nib.save(nib.Nifti1Pair(data, np.eye(4)), tmp_path / "pair.img")
    nib.save(nib.MGHImage(data, np.eye(4)), tmp_path / "orig.mgz")
    write(tmp_path / "exam" / "ST0" / "SE0", series(), "IM{:04d}")
    write(tmp_path, [series()[0]], "one.dcm")
    archive(tmp_path / "exam.zip", tmp_path / "exam")
    for name in ("pair.img", "pair.hdr", "orig.mgz", "exam", "exam/ST0/SE0/IM0003", "one.dcm", "exam.zip"):  # fmt: skip  # noqa: E501
        assert get_reader(str(tmp_path / name)) is readers.read, name


def test_what_cannot_be_read_is_declined_quietly(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("text")
    archive(tmp_path / "other.zip", tmp_path / "other")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 nothing")
    for name in ("a.dcm", "a.hdr", "a.img", "DICOMDIR"):
        (tmp_path / name).write_text("something else" * 50)
    for name in ("other", "other.zip", "bad.zip", "a.dcm", "a.hdr", "a.img", "DICOMDIR", "none.dcm"):  # fmt: skip  # noqa: E501
        assert get_reader(str(tmp_path / name)) is None, name


def test_the_files_of_a_series_are_one_layer(viewer, tmp_path):
    write(tmp_path, series())
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    assert len(readers.read(paths)) == 1
    for path in paths[:3]:  # as napari opens several files
        viewer.open(path, plugin="napari-expert")
    assert len(viewer.layers) == 1
    images = [ultrasound(series="1.2.3", PixelSpacing=[n, n]) for n in (1, 2)]
    write(tmp_path / "us", images)
    for path in (tmp_path / "us").iterdir():
        viewer.open(str(path), plugin="napari-expert")
    assert len(viewer.layers) == 3


def test_without_a_window_the_choice_of_a_series_is_an_error(tmp_path):
    write(tmp_path, series() + series(SeriesNumber=4))
    with pytest.raises(SeriesChoiceError):
        readers.read(str(tmp_path))
    assert readers.read(str(tmp_path), "4")[0][0].shape == (14, 11, 9)


def test_an_error_that_napari_shows_has_no_tags(tmp_path):
    path = tmp_path / "<img src=x><b>y.nii"
    path.write_bytes(b"no image")
    with pytest.raises(InputError) as caught:
        readers.read(str(path))
    assert "‹img src=x>‹b>y.nii" in str(caught.value)


def test_with_two_windows_a_file_opens_in_the_one_it_was_dropped_on(
    make_napari_viewer_proxy, dock, saved, model_file
):
    first, second = (make_napari_viewer_proxy(show=False) for _ in range(2))
    panels = [dock(viewer) for viewer in (first, second)]
    first.open(str(saved), plugin="napari-expert")
    assert [panel.explanation is not None for panel in panels] == [True, False]
    first.open(str(model_file), plugin="napari-expert")
    assert [panel.input.model for panel in panels] == [str(model_file), "phantom"]
