"""What is side by side, without a window: cells, titles, and where the mass of a patch lies in all
of them."""

from __future__ import annotations

import numpy as np
import pytest

from expert.errors import InputError
from expert.inference import explain
from expert.model_file import load_model
from expert.report.report import write_report
from napari_expert.side_by_side import Board


@pytest.fixture(scope="module")
def other(model):
    """Another head, explained."""
    from expert.datasets.phantom import phantom
    from expert.inference import explain

    return explain(model, phantom(70, 9), top=8)


@pytest.fixture(scope="module")
def both(model, head, other):
    from expert.inference import explain

    return Board(explain(model, head, top=8), other, top=3)


def test_one_image_and_its_prototypes(explanation):
    board = Board(explanation, top=2)
    assert board.tiles == 3
    assert board.names == ("this image", "#1", "#2")
    plane = board.planes[2]
    assert plane.name in board.title(0, plane)
    assert f"{explanation.prototypes[1].label:.0f}" in board.title(2, plane)
    np.testing.assert_array_equal(board.image(2, plane), explanation.prototypes[1].image)


def test_the_title_of_a_forced_prediction_says_so(forced, explanation):
    plane = Board(forced).planes[0]
    assert Board(forced).title(0, plane).endswith(" years · forced")
    assert "forced" not in Board(forced).title(1, plane)
    assert "forced" not in Board(explanation).title(0, plane)
    both = Board(explanation, forced)
    assert ["forced" in both.title(tile, plane) for tile in (0, 1)] == [False, True]


def test_partners_follow_the_plan(explanation):
    board, view = Board(explanation, top=3), 2
    patch = board.patches(board.planes[view], "closest")[0]
    subject, *others = board.partners(view, 0, patch)
    assert subject[patch] == 1
    for match, share in zip(explanation.prototypes, others, strict=True):
        np.testing.assert_allclose(share, match.views[view].matches(patch))
    back = board.partners(view, 1, patch)
    column = explanation.prototypes[0].views[view].flow[:, patch]
    np.testing.assert_allclose(back[0], column / column.sum(), atol=1e-9)
    assert back[1][patch] == 1
    assert back[2].sum() == pytest.approx(1, abs=1e-5)


def test_matches_are_the_strongest_partners(explanation):
    board = Board(explanation, top=3)
    patches = board.patches(board.planes[1], "different")
    found = board.matches(1, patches)
    assert len(found) == len(patches) * 3
    for match in found:
        row = explanation.prototypes[match.tile - 1].views[1].matches(match.source)
        assert match.target == row.argmax()
        assert match.share == pytest.approx(row.max())
        assert match.contribution == pytest.approx(
            explanation.prototypes[match.tile - 1].views[1].contributions[match.source]
        )


def test_two_images_share_prototypes_and_lead_to_each_other(both):
    assert both.subjects == 2
    assert 1 <= len(both.prototypes) <= 3
    shares = [{match.index for match in e.prototypes} for e in both.explanations]
    assert set(both.prototypes) <= shares[0] & shares[1]
    plane = both.planes[2]
    assert both.title(1, plane).startswith("B · ")
    patch = both.patches(plane, "closest")[0]
    for tile in range(both.tiles):
        partners = both.partners(plane.view, tile, patch)
        assert len(partners) == both.tiles
        assert partners[tile][patch] == 1
        for share in partners:
            assert share.sum() == pytest.approx(1, abs=1e-4)
    # An image compared with itself finds its own patches again.
    same = Board(both.explanations[0], both.explanations[0], top=3)
    hits = [same.partners(2, 0, p)[1].argmax() == p for p in same.patches(plane, "all")]
    assert np.mean(hits) > 0.9


def test_what_cannot_be_compared_is_told(explanation, other):
    with pytest.raises(InputError, match="different models"):
        Board(explanation, other.model_copy(update={"model_sha256": "0"}))
    first = explanation.model_copy(update={"prototypes": explanation.prototypes[:1]})
    rest = tuple(match for match in other.prototypes if match.index != first.prototypes[0].index)
    with pytest.raises(InputError, match="share none"):
        Board(first, other.model_copy(update={"prototypes": rest}))


def test_pictures_beside_a_plane_are_of_the_same_plane(planes_model_file, head, tmp_path):
    model = load_model(planes_model_file)
    result = explain(model, head, top=2)
    board = Board(result, top=2)
    for plane in board.planes:
        for number in (0, 1):
            shown = board.image(board.subjects + number, plane)
            np.testing.assert_array_equal(
                shown, model.prototype_images[result.prototypes[number].index, plane.view]
            )
    assert not np.array_equal(board.image(1, board.planes[0]), board.image(1, board.planes[1]))
    page = write_report(result, tmp_path / "report.html").read_text()
    assert "mean distance" in page


def test_averages_are_compared_and_called_so(averaged):
    board = Board(averaged, averaged)
    for tile in range(board.tiles):
        expected = "" if tile < 2 else averaged.prototypes[tile - 2].average.text
        assert board.average(tile) == expected
    assert board.matches_shown == averaged.prototypes
