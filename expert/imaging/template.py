"""The ICBM 152 template (nonlinear, symmetric, 2009a) at 2 mm: see `expert/data/NOTICE`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

from expert.imaging.volume import Volume, read_volume

DATA = Path(__file__).parent / "data"


@functools.lru_cache(maxsize=4)
def load_template(name: Literal["t1", "gm", "wm", "mask"]) -> Volume:
    """One of the template's maps: (97, 115, 97) uint8, RAS, 2 mm.

    Parameters
    ----------
    name : {"t1", "gm", "wm", "mask"}
        "t1" skull-stripped intensities, "gm" and "wm" probability times 255, "mask" brain 0 or 1.
    """
    return read_volume(DATA / f"icbm152_2mm_{name}.nii.gz")
