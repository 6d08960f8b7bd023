"""False alarms: held-out images of a cross-validation that are flagged as out-of-distribution."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from expert.errors import InputError
from expert.novelty import INDICATORS, calibrate_indicators, score_indicators


@dataclass(frozen=True)
class FalseAlarms:
    """Held-out images of a run, scored with the scales and limit of the other folds."""

    folds: int
    images: int
    flagged: int
    by_indicator: dict[str, int]
    """Flagged images by the indicator with the largest score."""


def false_alarms(run: str | Path) -> FalseAlarms:
    """How many held-out images of a cross-validation are flagged as out-of-distribution.

    Parameters
    ----------
    run : path-like
        Folder of `expert train --folds`. The indicators of each fold's held-out images are scored
        with the scales and limit of the other folds.

    Returns
    -------
    FalseAlarms

    Raises
    ------
    InputError
        There are fewer than two folds, or one is damaged or has no indicators (runs of earlier
        versions).
    """
    folder = Path(run)
    found: list[list[dict[str, float]]] = []
    for path in sorted(folder.glob("fold*/result.json")):
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["signs"]
            found.append([{name: float(one[name]) for name in INDICATORS} for one in rows])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} has no OOD indicators of held-out images: the file is damaged, or from an "
                "earlier version."
            ) from error
    if len(found) < 2:
        raise InputError(
            f"The folder {folder} has {len(found)} finished folds: at least two are needed. Choose "
            "the folder of a run of 'expert train --folds'."
        )
    flagged: Counter[str] = Counter()
    for number, held_out in enumerate(found):
        center, spread, limit = calibrate_indicators(
            [one for n, others in enumerate(found) if n != number for one in others]
        )
        scored = [score_indicators(center, spread, one) for one in held_out]
        flagged.update(indicator for score, indicator in scored if score > limit)
    return FalseAlarms(len(found), sum(map(len, found)), flagged.total(), dict(flagged))
