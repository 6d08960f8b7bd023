"""Reports and tables say what they must, need nothing else, and tell nothing of the file they come
from."""

from __future__ import annotations

import csv
import datetime
import html.parser
import re
import zlib

import numpy as np
import pytest
from conftest import draw_squares
from typer.testing import CliRunner

import expert
from expert.attribution import for_answer
from expert.cli.app import app
from expert.errors import InputError
from expert.explanation import Explanation
from expert.model_file import load_model, save_model
from expert.patches import chosen_patches, middle_plane, pairs, patches_in_plane, planes
from expert.report.csv_export import COLUMNS, LEAST, write_csv
from expert.report.document import Figures, Line, Paragraph, Picture, Rect, Text
from expert.report.drawings import DOWN, UP, side_by_side, signed_map, strongest
from expert.report.report import compose
from expert.report.sections import SURROUNDINGS
from expert.schema import (
    RESEARCH_USE,
    Architecture,
    ImageReference,
    InputSettings,
    Label,
    ModelInfo,
    PrototypeInfo,
    TrainingInfo,
)


# --- readers of what was written ------------------------------------------------------------------
class Page(html.parser.HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def pdf_pages(data: bytes) -> list[str]:
    """The text of each page of a PDF, from its own streams; lines are joined by spaces."""
    pages = []
    for raw in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.S):
        try:
            stream = zlib.decompress(raw)
        except zlib.error:
            continue
        if b" Tf" not in stream:
            continue  # an image
        found = re.findall(rb"\(((?:[^()\\]|\\.)*)\) ?Tj", stream, re.S)
        texts = [
            re.sub(rb"\\(.)", rb"\1", text).decode("cp1252").replace("\xa0", " ") for text in found
        ]
        pages.append(" ".join(" ".join(texts).split()))
    return pages


def both(e: Explanation, folder, **kwargs) -> tuple[str, str]:
    """Text of the HTML and of the PDF report."""
    page = Page(
        expert.write_report(e, folder / "r.html", **kwargs).read_text(encoding="utf-8")
    ).text
    pdf = expert.write_report(e, folder / "r.pdf", **kwargs).read_bytes()
    assert pdf.startswith(b"%PDF-1.")
    assert pdf.rstrip().endswith(b"%%EOF")
    return page.replace("\xa0", " "), " ".join(pdf_pages(pdf))


# --- explanations of other kinds ------------------------------------------------------------------
@pytest.fixture(scope="module")
def plain(tiny_model_file, tmp_path_factory) -> Explanation:
    """A plain 2D image: no letters, no mm."""
    folder = tmp_path_factory.mktemp("plain")
    draw_squares(folder, 4, 9)
    return expert.explain(
        load_model(tiny_model_file),
        expert.read_volume(folder / "square-02.png", pixel_size_mm=1.0),
        top=3,
    )


@pytest.fixture(scope="module")
def solid(head, tmp_path_factory) -> Explanation:
    """A head explained as a volume, by an untrained network: its matches go anywhere."""
    import torch

    from expert.imaging.preprocessing import prepare
    from expert.model import PrototypeRegressor

    recipe = InputSettings(
        space="mni", shape=(48, 64, 48), spacing_mm=3.0, center_mm=(10.0, -17.0, 0.0)
    )
    architecture = Architecture(
        dimensions=3, widths=(4, 8), channels=8, prototypes=3, radius=500.0, marginals="content"
    )
    labels = (30.0, 50.0, 70.0)
    info = ModelInfo(
        name="solid",
        label=Label(minimum=20, maximum=80),
        input=recipe,
        architecture=architecture,
        prototypes=tuple(PrototypeInfo(label=label, source_label=label) for label in labels),
        training=TrainingInfo(
            dataset="nothing", licence="none", subjects=1, images=1, seed=0, recipe={}
        ),
    )
    torch.manual_seed(1)
    network = PrototypeRegressor(architecture, info.grid)
    network.prototype_labels.copy_(torch.tensor(labels))
    image = prepare(head, recipe).images[0]
    path = save_model(
        tmp_path_factory.mktemp("solid") / "m.safetensors",
        info,
        {name: value.numpy() for name, value in network.state_dict().items()},
        np.stack([image] * 3),
    )
    return expert.explain(load_model(path), head, top=2)


# --- what both reports say ------------------------------------------------------------------------
def test_both_reports_say_what_they_must(explanation, model, tmp_path):
    e = explanation
    plane = planes(e)[middle_plane(e)]
    pair = pairs(e, plane.view, 0, chosen_patches(e, plane, "closest"))[0]
    first, second = e.prototypes[:2]
    strong = strongest(e, for_answer(e, plane.view), 1)[0]
    for text in both(e, tmp_path, model=model.info):
        assert f"{e.prediction:.1f} years" in text
        assert f"{e.interval.lower:.1f} – {e.interval.upper:.1f}" in text
        assert f"share {100 * first.share:.0f} %" in text
        assert f"{100 * pair.share:.0f} %" in text
        assert f"{pair.contribution:.2f}" in text
        assert f"Why {first.label:.1f} and not {second.label:.1f}?" in text
        assert f"{for_answer(e, plane.view)[strong]:+.2f}" in text
        assert all(view.name in text for view in e.views)
        assert SURROUNDINGS in text
        assert "goes to its strongest partner, and a patch is spread over" in text
        assert "radiological: the patient's right is on the left" in text
        assert f"{e.radius:g} years" in text
        assert "0.1 (entropic optimal transport)" in text
        assert "6×5 = 30" in text
        assert e.model_sha256 in text
        assert all(f"{name} {version}" in text for name, version in e.versions.items())
        assert datetime.date.today().isoformat() in text
        assert " ".join(model.info.card.split()) in text


def test_both_reports_hold_the_same_content(explanation, model, tmp_path):
    report = compose(explanation, model=model.info)
    texts = [report.headline, report.aside, report.lead, report.origin, *report.warnings]
    for section in report.sections:
        texts.append(section.title)
        for block in section.blocks:
            if isinstance(block, Paragraph):
                texts.append(block.text)
            elif isinstance(block, Figures):
                texts += [
                    text for figure in block.figures for text in (figure.caption, figure.note)
                ]
                texts += [
                    mark.text
                    for figure in block.figures
                    for mark in figure.drawing.marks
                    if isinstance(mark, Text)
                ]
            else:
                texts += [column.title for column in block.columns] + [
                    cell.text for row in block.rows for cell in row
                ]
    assert len(texts) > 300
    page, pdf = both(explanation, tmp_path, model=model.info)
    for text in texts:
        words = " ".join(text.split())
        assert words in page
        assert words in pdf


def test_the_page_needs_nothing_else(explanation, model, tmp_path):
    text = expert.write_report(explanation, tmp_path / "r.html", model=model.info).read_text(
        encoding="utf-8"
    )
    page = Page(text)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in text
    assert page.text.count(RESEARCH_USE) >= 2
    assert "size: A4" in text


def test_the_pdf_has_the_statement_and_its_number_on_every_page_of_a4(explanation, model, tmp_path):
    data = expert.write_report(explanation, tmp_path / "r.pdf", model=model.info).read_bytes()
    pages = pdf_pages(data)
    assert len(pages) > 1
    for number, text in enumerate(pages, 1):
        assert RESEARCH_USE in text
        assert f"{number} / {len(pages)}" in text
    assert set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)) == {
        (b"595.28", b"841.89")
    }
    assert data.count(b"/Subtype /Image") > 1
    drawn = b"".join(
        zlib.decompress(raw) for raw in re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", data, re.S)
    )
    assert drawn.count(b" l S") > 30  # lines are lines, not pixels


def test_the_pdf_tells_date_and_software_and_nothing_else(explanation, tmp_path):
    data = expert.write_report(explanation, tmp_path / "secret-name.pdf").read_bytes()
    keys = rb"/(Title|Author|Subject|Keywords|Creator|Producer|CreationDate|ModDate) ?\("
    told = {key.decode() for key in re.findall(keys, data)}
    assert told == {"Title", "Creator", "Producer", "CreationDate"}
    assert b"secret-name" not in data
    assert f"(D:{datetime.date.today():%Y%m%d}000000".encode() in data


def test_the_ending_decides(explanation, tmp_path):
    assert expert.write_report(explanation, tmp_path / "r.PDF").read_bytes().startswith(b"%PDF")
    assert (
        expert.write_report(explanation, tmp_path / "r.htm")
        .read_text(encoding="utf-8")
        .startswith("<!DOCTYPE html>")
    )
    with pytest.raises(InputError, match=r"\.html or \.pdf"):
        expert.write_report(explanation, tmp_path / "r.docx")
    assert {path.name for path in tmp_path.iterdir()} == {"r.PDF", "r.htm"}


def test_a_report_without_a_place_is_one_sentence(explanation, tmp_path):
    for write, name in (
        (expert.write_report, "r.html"),
        (expert.write_report, "r.pdf"),
        (write_csv, "t.csv"),
    ):
        with pytest.raises(InputError, match="could not be written"):
            write(explanation, tmp_path / "missing" / name)


# --- privacy and strange names --------------------------------------------------------------------
def test_nothing_of_the_file_is_in_the_outcome(model, head, tmp_path):
    """A name in the path must not travel into JSON, report or table."""
    folder = tmp_path / "Doe_Jane_19700101"
    folder.mkdir()
    path = expert.write_volume(head, folder / "Doe.nii.gz")
    result = expert.explain(model, expert.read_volume(path), top=1)
    texts = [result.model_dump_json(), *both(result, tmp_path, model=model.info)]
    texts += [
        (tmp_path / "r.html").read_text(encoding="utf-8"),
        write_csv(result, tmp_path / "t.csv").read_text(encoding="utf-8"),
    ]
    for text in texts:
        assert "Doe_Jane" not in text
        assert "Doe.nii" not in text
        assert str(tmp_path) not in text


def test_a_message_about_a_missing_image_tells_no_path(explanation, tmp_path):
    match = explanation.prototypes[0].model_copy(
        update={"image": None, "image_message": "/home/jane/secret.nii is damaged."}
    )
    e = explanation.model_copy(update={"prototypes": (match, *explanation.prototypes[1:])})
    for text in both(e, tmp_path):
        assert "image not at hand" in text
        assert "1 of 3 prototypes are shown without their image" in text
        assert "jane" not in text


def test_the_page_escapes_what_it_is_told(explanation, tmp_path):
    page = expert.write_report(
        explanation, tmp_path / "r.html", source="<script>alert(1)</script>"
    ).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("Zażółć.nii", "Zazó?c.nii"),
        ("頭.nii", "?.nii"),
        ("a−b ≤ c", "a-b <= c"),
        ("(50 %) \\ {nb}", "(50 %) \\ {nb}"),
        ("line\nbreak\x00\x1b", "line break"),
        ("€ “quoted” – ƒ", "€ “quoted” – ƒ"),
    ],
)
def test_any_name_can_be_printed(explanation, tmp_path, name, printed):
    data = expert.write_report(explanation, tmp_path / "r.pdf", source=name).read_bytes()
    assert f"Predicted age of {printed}" in pdf_pages(data)[0].replace(" ,", ",")
    expert.write_report(explanation, tmp_path / "r.html", source=name)


def test_every_character_can_be_printed():
    from expert.report.pdf import printable

    for code in range(0x20000):
        printable(chr(code)).encode("cp1252")


def test_long_and_broken_names_are_no_trouble(explanation, tmp_path):
    both_names = (
        "x" * 4000,
        "bytes-\udcff\ud800.nii",
        "\xad" * 50,
        "".join(map(chr, range(32, 0x250))),
    )
    for name in both_names:
        for text in both(explanation, tmp_path, source=name):
            assert RESEARCH_USE in text


# --- other kinds of explanations ------------------------------------------------------------------
def test_a_plain_image_has_neither_letters_nor_millimetres(plain, tmp_path):
    for text in both(plain, tmp_path, model=None):
        assert "row 2, column" in text
        assert " mm" not in text
        assert "radiological" not in text
        assert "Plane by plane" not in text
    letters = [
        mark.text
        for mark in side_by_side(plain, planes(plain)[0], 0, [0]).marks
        if isinstance(mark, Text)
    ]
    assert not {"R", "L", "A", "P"} & set(letters)


def test_a_volume_is_drawn_in_its_middle_slice(solid, tmp_path):
    plane = planes(solid)[middle_plane(solid)]
    patches = chosen_patches(solid, plane, "closest")
    visible = set(patches_in_plane(solid, plane).ravel().tolist())
    away = [
        pair
        for n in range(2)
        for pair in pairs(solid, plane.view, n, patches)
        if pair.target not in visible
    ]
    assert away, "the untrained network shall match across slices"
    for text in both(solid, tmp_path):
        assert "Went mostly to another slice: " in text
        assert text.count("(another slice)") == len(away)
        assert plane.name in text
    drawn = [
        mark for mark in side_by_side(solid, plane, 0, patches).marks if isinstance(mark, Picture)
    ]
    assert all((mark.width, mark.height) == (48, 64) for mark in drawn)


def test_without_interval_and_with_one_prototype(explanation, tmp_path):
    e = explanation.model_copy(update={"interval": None, "prototypes": explanation.prototypes[:1]})
    for text in both(e, tmp_path):
        assert "no interval: the model is not calibrated" in text
        assert "and not" not in text


def test_a_fallback_is_said_and_pulls_nothing(explanation, tmp_path):
    views = tuple(view.model_copy(update={"fallback": True}) for view in explanation.views)
    for text in both(explanation.model_copy(update={"fallback": True, "views": views}), tmp_path):
        assert "the nearest one alone answers: no patch pulls" in text
        assert "pulls up" not in text
        assert text.count("no prototype in radius: the nearest one answers") == len(views)
        assert "None needs to" not in text
    for text in both(explanation.model_copy(update={"prototypes_in_radius": 0}), tmp_path):
        assert "None needs to: this model weighs them relative to the nearest." in text


def test_references_are_named_by_data_set_subject_and_checksum(explanation, tmp_path):
    reference = ImageReference(
        dataset="Public heads", subject="S-017", file="T1/folder/S-017.nii.gz", sha256="ab" * 32
    )
    match = explanation.prototypes[0].model_copy(update={"reference": reference})
    e = explanation.model_copy(update={"prototypes": (match, *explanation.prototypes[1:])})
    for text in both(e, tmp_path):
        assert "Public heads" in text
        assert "S-017" in text
        assert "ab" * 32 in text
        assert "T1/folder" not in text


# --- drawings -------------------------------------------------------------------------------------
def test_lines_join_the_matched_patches_as_wide_as_their_share(explanation):
    plane = planes(explanation)[2]
    patches = chosen_patches(explanation, plane, "closest")
    drawing = side_by_side(explanation, plane, 0, patches)
    lines = [mark for mark in drawing.marks if isinstance(mark, Line) and mark.color != "#000000"]
    boxes = [mark for mark in drawing.marks if isinstance(mark, Rect) and mark.stroke]
    for pair in pairs(explanation, plane.view, 0, patches):
        widest = max(
            (line for line in lines if line.color == color(pair.number)),
            key=lambda line: line.width,
        )
        assert widest.width == pytest.approx(1.6 * pair.share)
        for x, y in ((widest.x1, widest.y1), (widest.x2, widest.y2)):
            touched = [
                b
                for b in boxes
                if b.stroke == color(pair.number)
                and b.x - 0.1 <= x <= b.x + b.width + 0.1
                and b.y <= y <= b.y + b.height
            ]
            assert touched


def color(number: int) -> str:
    from expert.patches import COLORS

    return COLORS[number - 1]


def test_the_map_is_orange_up_blue_down_and_clear_at_zero(explanation):
    plane = planes(explanation)[2]
    values = np.zeros(30)
    values[7], values[22], values[13] = 0.4, -0.2, 1e-6
    drawing = signed_map(explanation, plane, values, ("down", "up"))
    height = explanation.view_shape[0]
    patches = [
        mark
        for mark in drawing.marks
        if isinstance(mark, Rect) and mark.fill in (UP, DOWN) and mark.y < height
    ]
    assert [(mark.fill, round(mark.fill_opacity, 3)) for mark in patches] == [
        (UP, 0.75),
        (DOWN, 0.375),
    ]
    written = [mark.text for mark in drawing.marks if isinstance(mark, Text)]
    assert {"+0.40", "–0.20"} <= set(written)


# --- the table ------------------------------------------------------------------------------------
def test_the_table_of_matches(explanation, tmp_path):
    e = explanation
    lines = write_csv(e, tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert head == lines[: len(head)]
    assert RESEARCH_USE in head[0]
    assert e.model_name in head[1]
    assert e.model_sha256 in head[1]
    assert not any("#" in line for line in lines[len(head) :]), "pandas' comment sign cuts lines"
    rows = list(csv.DictReader(lines[len(head) :]))
    assert tuple(rows[0]) == COLUMNS
    assert {row["view"] for row in rows} == {view.name for view in e.views}
    assert min(float(row["share"]) for row in rows) >= LEAST
    view, match, pull = e.views[2], e.prototypes[1], for_answer(e, 2)
    for patch in np.flatnonzero(view.mass):
        mine = [
            row
            for row in rows
            if (row["view"], row["prototype"], int(row["patch"])) == (view.name, "2", patch)
        ]
        shares = match.views[2].matches(int(patch))
        assert {int(row["partner"]) for row in mine} == set(
            np.flatnonzero(shares >= LEAST).tolist()
        )
        for row in mine:
            assert float(row["share"]) == pytest.approx(shares[int(row["partner"])], rel=1e-4)
            assert float(row["pull"]) == pytest.approx(pull[patch], rel=1e-4)
        assert sum(float(row["adds"]) for row in mine) == pytest.approx(
            match.views[2].contributions[patch], rel=0.15
        )


def test_tables_of_images_and_volumes(plain, solid, tmp_path):
    for e, place in ((plain, "row 2, column"), (solid, " S ")):
        assert place in write_csv(e, tmp_path / "t.csv").read_text(encoding="utf-8")


# --- the command ----------------------------------------------------------------------------------
def test_explain_writes_what_it_is_asked_for(head_file, tmp_path):
    def explain(folder: str, *options: str) -> set[str]:
        result = CliRunner().invoke(
            app,
            ["explain", str(head_file), "--top", "2", "--out", str(tmp_path / folder), *options],
        )
        assert result.exit_code == 0, result.output
        names = {path.name for path in (tmp_path / folder).iterdir()}
        assert all(name in result.output for name in names - {"explanation.json"})
        return names

    assert explain("less") == {"explanation.json", "report.html"}
    assert head_file.name not in (tmp_path / "less" / "report.html").read_text(encoding="utf-8")
    assert explain("more", "--pdf", "--csv", "--show-name") == {
        "explanation.json",
        "report.html",
        "report.pdf",
        "matches.csv",
    }
    assert f"age of {head_file.name}" in (tmp_path / "more" / "report.html").read_text(
        encoding="utf-8"
    )
    assert (
        f"age of {head_file.name}" in pdf_pages((tmp_path / "more" / "report.pdf").read_bytes())[0]
    )
    assert head_file.name not in (tmp_path / "more" / "matches.csv").read_text(encoding="utf-8")
