"""Tests of `expert.cli.training_commands`."""

from __future__ import annotations

import json

from helpers.squares import draw_squares
from typer.testing import CliRunner

from expert.cli.main import app

run = CliRunner().invoke


def test_evaluate(tiny_model_file, tmp_path):
    table = draw_squares(tmp_path / "new", 9, 8)
    out = tmp_path / "e.json"
    result = run(
        app,
        ["evaluate", str(tiny_model_file), "--data", str(table), "--out", str(out), "--jobs", "1"],
    )
    assert result.exit_code == 0, result.output
    assert "MAE" in result.output
    assert json.loads(out.read_text())["errors"]["images"] == 9


def test_evaluate_lists_sites_and_refused_images(tiny_model_file, tmp_path):
    table = draw_squares(tmp_path / "new", 9, 8)
    header, *rows = table.read_text().split()
    sites = [f"{row},{'North' if n < 4 else 'South'}" for n, row in enumerate(rows)]
    table.write_text("\n".join([f"{header},site", *sites]))
    (table.parent / "square-02.png").write_text("no image")
    out = tmp_path / "e.json"
    command = ["evaluate", str(tiny_model_file), "--data", str(table), "--out", str(out)]
    result = run(app, [*command, "--jobs", "1"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    north = next(line for line in lines if "North" in line)
    assert [cell.strip() for cell in north.strip("│ ").split("│")][1:3] == ["4", "1"]
    assert any("South" in line for line in lines)
    assert "Refused: Image 3: square-02.png" in result.output
    document = json.loads(out.read_text())
    assert document["refused"] == 1
    assert [site["name"] for site in document["sites"]] == ["North", "South"]
    for number in range(9):
        (table.parent / f"square-{number:02}.png").write_text(f"no image {number}")
    failed = run(app, [*command, "--jobs", "1"])
    assert failed.exit_code == 1
    assert "None of the 9 images" in failed.output


def test_evaluate_explanations_only_when_asked(tiny_model_file, tmp_path):
    table = draw_squares(tmp_path / "new", 6, 8)
    plain, more = tmp_path / "plain.json", tmp_path / "more.json"
    command = ["evaluate", str(tiny_model_file), "--data", str(table), "--jobs", "1"]
    shown = run(app, [*command, "--out", str(plain)])
    assert "self-match" not in shown.output
    result = run(app, [*command, "--out", str(more), "--explanations", "--subjects", "3"])
    assert result.exit_code == 0, result.output
    assert "self-match" in result.output
    before, after = (
        json.loads(path.read_text(), parse_constant=refuse_constant) for path in (plain, more)
    )
    assert before["explanations"] is None
    measured = after.pop("explanations")
    assert after == {name: value for name, value in before.items() if name != "explanations"}
    assert measured["subjects"] == 3
    assert measured["prototypes"]["displacement_mm"] is None  # plain images share no space
    assert (
        measured["prototypes"]["best_share"]["chance"]
        < measured["prototypes"]["best_share"]["value"]
        <= 1
    )
    assert measured["exactness"]["distance"] < 1e-6
    assert run(app, [*command, "--explanations", "--subjects", "0"]).exit_code == 2


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
