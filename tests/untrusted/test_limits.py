"""Tests of `expert.untrusted.limits`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from expert.model_file import load_model, shipped_models
from expert.schema import Architecture, InputSettings
from expert.untrusted.limits import MOST, architecture_excess, input_excess


def test_the_shipped_models_are_within_the_limits():
    for name in shipped_models():
        info = load_model(name).info
        assert architecture_excess(info.architecture) == input_excess(info.input) == ""


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": MOST + 1},
        {"members": MOST + 1},
        {"radius": 1e300},
        {"regularization": 1e-300},
        {"prior": 1e300},
        {"guide": MOST + 1},
        {"prototypes": 10**30},
        {"widths": (0,)},
        {"widths": (-4, 4)},
        {"widths": (4,) * 5},
        {"backbone": "histogram", "widths": (4,) * 9},
        {"backbone": "histogram", "widths": (), "places": (0, 4)},
    ],
)
def test_a_network_of_any_size_is_refused(settings):
    with pytest.raises(ValidationError, match=r"from 1|at most"):
        Architecture(**settings)
    Architecture(channels=MOST, widths=(4,) * 4)


@pytest.mark.parametrize(
    "settings",
    [
        {"shape": (1 << 15, 1 << 15)},
        {"shape": (10**30, 8)},
        {"positions_mm": (1.0,) * 1001},
        {"training_positions_mm": (1.0,) * 1001},
    ],
)
def test_an_input_of_any_size_is_refused(settings):
    with pytest.raises(ValidationError, match="at most"):
        InputSettings(**settings)
    InputSettings(shape=(1 << 14, 1 << 14))
