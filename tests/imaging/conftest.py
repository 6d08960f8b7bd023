"""Fixtures of these tests."""

from __future__ import annotations

import pytest

from expert.datasets.phantom import phantom_with_truth
from expert.imaging.registration import Registration, register


@pytest.fixture(scope="session")
def known_head():
    head, truth = phantom_with_truth(40, 3)
    return head, Registration.known(truth.template_to_subject)


@pytest.fixture(scope="session")
def registered_head():
    head, truth = phantom_with_truth(50, 11)
    return head, truth, register(head)
