"""Tests of `expert.training.ensemble`."""

from __future__ import annotations

import pytest
import torch
from helpers.squares import changed

from expert.training.ensemble import MEMBER_SEED, join_members, member_folders
from expert.training.prototype_module import PrototypeModule


def test_members_have_folders_and_seeds_of_their_own(squares_recipe, tmp_path):
    assert member_folders(squares_recipe, tmp_path, 4) == [(tmp_path, 4)]
    three = changed(squares_recipe, architecture={"members": 3})
    assert member_folders(three, tmp_path, 4) == [
        (tmp_path / f"member{n}", 4 + n * MEMBER_SEED) for n in range(3)
    ]


def test_joined_members_show_the_same_subjects_with_all_channels(squares_recipe, squares_cohort):
    recipe = changed(squares_recipe, architecture={"members": 2})
    members = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        members.append(PrototypeModule(recipe.member, squares_cohort, recipe.grid).eval())
        members[-1].initialise()
    whole = PrototypeModule(recipe, squares_cohort, recipe.grid).eval()
    join_members(whole, members)
    assert whole.network.prototypes.shape[1] == 2 * members[0].network.prototypes.shape[1]
    images = torch.from_numpy(squares_cohort.images[:3]).float() / 255
    with torch.no_grad():
        joined = whole.network.backbone(images)
        parts = [member.network.backbone(images) for member in members]
    channels = parts[0].shape[1]
    for n, part in enumerate(parts):
        mine = joined[:, n * channels : (n + 1) * channels] / whole.network.backbone.gain[n]
        torch.testing.assert_close(mine, part, atol=1e-5, rtol=1e-4)
    rows = whole.sources[:, 0].tolist()
    assert len(set(rows)) == 6
    assert min(rows) >= 0


def test_a_single_network_cannot_be_joined(squares_recipe, squares_cohort):
    module = PrototypeModule(squares_recipe, squares_cohort, squares_recipe.grid)
    with pytest.raises(TypeError, match="several networks"):
        join_members(module, [module])
