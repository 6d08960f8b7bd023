"""Tests of `expert.training.processes`, with real processes."""

from __future__ import annotations

import pytest
import torch
from helpers.processes import run_group

from expert.errors import ExpertError
from expert.training import processes
from expert.training.processes import Share


def test_one_process_has_the_whole_batch():
    batch = torch.randn(7, 3)
    share = Share(7)
    assert share.own(batch) is batch
    assert share.gather(batch) is batch
    assert share.weight == 1
    assert len(share.first(4).rows) == 4
    assert processes.is_first()
    assert processes.agreed(True)
    assert not processes.agreed(False)
    processes.wait()


def test_an_empty_share_is_refused(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 4)
    with pytest.raises(ExpertError, match=r"3 images or subjects .* 4 processes"):
        Share(6, group=2)


SHARES = """
from expert.training.processes import Share, agreed, first_one_first, is_first, of_the_first, summed
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
for images, group in ((5, 1), (10, 2), (8, 2), (2, 1)):
    batch = torch.randn(images, 3)
    weight = torch.randn(3, requires_grad=True)
    whole = (batch @ weight).tanh()
    ((whole * whole.roll(group)).sum() + whole.abs().mean()).backward()
    wanted, weight.grad = weight.grad, None
    share = Share(images, group)
    own = (share.own(batch) @ weight).tanh()
    found = share.gather(own)
    assert torch.equal(found.detach(), whole.detach())
    # A loss of all rows in every process, and the own part of a mean.
    ((found * found.roll(group)).sum() + share.weight * own.abs().mean()).backward()
    torch.testing.assert_close(summed(weight.grad) / 2, wanted)
    few = max(2, images - 1)
    part = share.first(few)
    assert [row for row in share.rows.tolist() if row < few] == part.rows.tolist()
    assert summed(torch.tensor(part.weight)) == 2
assert agreed(is_first())
assert of_the_first(torch.tensor([rank + 4])).tolist() == [4]
with first_one_first():
    print(rank)
"""


def test_shares_of_a_batch_have_the_gradient_of_the_whole():
    assert run_group(SHARES, 2) == ["0\n", "1\n"]
