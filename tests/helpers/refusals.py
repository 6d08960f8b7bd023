"""Heads with a known registration, and one whose registration is not acceptable."""

from __future__ import annotations

from dataclasses import replace

from expert.datasets.phantom import phantom_with_truth
from expert.imaging.registration import Registration
from expert.imaging.volume import Volume

REASON = "The registration failed: check that this is a T1-weighted scan of the whole head."


def registered_head(age: float, seed: int) -> tuple[Volume, Registration]:
    """A synthetic head and its true registration."""
    volume, truth = phantom_with_truth(age, seed)
    return volume, Registration.known(truth.template_to_subject)


def failed(registration: Registration) -> Registration:
    """The same transform, not acceptable."""
    return replace(registration, quality=0.1, acceptable=False, message=REASON)
