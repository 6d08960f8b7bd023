"""The ICBM 152 template (nonlinear, symmetric, 2009a) at 2 mm: see `expert/imaging/data/NOTICE`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

from expert.imaging.volume import Volume, read_volume

DATA = Path(__file__).parent / "data"
AVERAGE = "average_brain.nii.gz"
"""Average of the tissue values of 145 heads, see `tools/make_average_brain.py`."""


@functools.lru_cache(maxsize=4)
def load_template(name: Literal["t1", "gm", "wm", "mask"]) -> Volume:
    """One of the maps of the template.

    Parameters
    ----------
    name : {"t1", "gm", "wm", "mask"}
        "t1": skull-stripped T1-weighted image; "gm" and "wm": probability of grey and white matter
        times 255; "mask": brain mask, 0 or 1.

    Returns
    -------
    Volume
        (97, 115, 97) uint8, RAS, 2 mm.
    """
    return read_volume(DATA / f"icbm152_2mm_{name}.nii.gz")
