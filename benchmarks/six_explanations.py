"""Explain six synthetic heads by `brain-age`, after the warm-up: a program to profile.

py-spy record -r 200 -o profile.svg -- python benchmarks/six_explanations.py
"""

from __future__ import annotations

import expert
from expert.datasets.phantom import phantom
from expert.inference import warm_up

if __name__ == "__main__":
    model = expert.load_model("brain-age")
    warm_up(model)
    for head in [phantom(40 + 5 * number, number) for number in range(6)]:
        expert.explain(model, head)
