"""Training of the head network: `python -m studies head-network`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from expert.imaging.head_network import COORDINATE_MM, HeadNetwork
from studies.heads.label_maps import Source, load_sources
from studies.heads.painting import example

BATCH = 3
REAL = 0.3
"""Fraction of real heads among the examples."""
HELD_OUT = 8
"""Every eighth person is kept for validation."""


class Examples(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless batches of random examples of some people."""

    def __init__(self, sources: list[Source], seed: int) -> None:
        self.painted = [s for s in sources if not s.real]
        self.real = [s for s in sources if s.real]
        self.seed = seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        torch.set_num_threads(1)
        generator = np.random.default_rng(self.seed)
        while True:
            batch = []
            for _ in range(BATCH):
                kind = self.real if self.real and generator.random() < REAL else self.painted
                source = kind[generator.integers(len(kind))]
                batch.append(example(source, int(generator.integers(2**62))))
            yield (
                torch.stack([one.image for one in batch]),
                torch.stack([one.tissues for one in batch]),
                torch.stack([one.coordinates for one in batch]),
            )


def loss(tissues: Tensor, places: Tensor, targets: Tensor, coordinates: Tensor) -> Tensor:
    """Cross-entropy and Dice of the tissues, and the error of the coordinates inside the brain."""
    log = functional.log_softmax(tissues.float(), 1)
    weight = targets.new_tensor([1.0, 2.0, 2.0, 2.0])[None, :, None, None, None]
    entropy = -(weight * targets * log).sum(1).mean() * 5
    share = log.exp()
    over = (share * targets).sum((2, 3, 4))
    dice = 1 - (2 * over + 10) / (share.sum((2, 3, 4)) + targets.sum((2, 3, 4)) + 10)
    brain = functional.avg_pool3d(1 - targets[:, :1], 2)
    wide = functional.avg_pool3d(coordinates, 2)
    error = ((places.float() - wide).abs().sum(1, keepdim=True) * (brain > 0.5)).sum()
    return entropy + 0.3 * dice.mean() + 3 * error / ((brain > 0.5).sum() + 50)


@torch.no_grad()
def validate(network: HeadNetwork, sources: list[Source], count: int) -> dict[str, float]:
    """Median Dice of the brain, error of tissues, and error of coordinates (mm)."""
    network.eval()
    rows = []
    for number in range(count):
        one = example(sources[number % len(sources)], number)
        brain = 1 - one.tissues[0]
        tissues, places = network(one.image[None])
        share = tissues.softmax(1)[0]
        found = share[0] < 0.5
        if brain.sum() < 500:
            rows.append((np.nan, np.nan, np.nan, float(found.sum())))
            continue
        dice = float(2 * (found & (brain > 0.5)).sum() / (found.sum() + (brain > 0.5).sum()))
        wrong = float((share - one.tissues).abs()[1:].sum() / brain.sum())
        inside = functional.avg_pool3d(brain[None, None], 2)[0, 0] > 0.5
        target = functional.avg_pool3d(one.coordinates.movedim(-1, 0)[None], 2)[0]
        error = (places[0] - target)[:, inside].norm(dim=0).median() * COORDINATE_MM
        rows.append((dice, wrong, float(error), np.nan))
    network.train()
    table = np.array(rows)
    return {
        "dice": float(np.nanmedian(table[:, 0])),
        "dice_low": float(np.nanpercentile(table[:, 0], 10)),
        "tissue_error": float(np.nanmedian(table[:, 1])),
        "mm": float(np.nanmedian(table[:, 2])),
        "mm_high": float(np.nanpercentile(table[:, 2], 90)),
        "found_in_none": float(np.nanmean(table[:, 3])) if np.isfinite(table[:, 3]).any() else -1,
    }


def train(
    data: Path, affines: Path, run: Path, *, steps: int = 6000, seed: int = 1, rate: float = 2e-3
) -> Path:
    """Train the network; its half-precision weights are ``run / head_network.safetensors``."""
    run.mkdir(parents=True, exist_ok=True)
    sources = load_sources(data, json.loads(affines.read_text()), run / "maps")
    painted = [s for s in sources if not s.real]
    real = [s for s in sources if s.real]
    held = painted[::HELD_OUT] + real[::HELD_OUT]
    kept = [s for s in sources if s not in held]
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = HeadNetwork()
    average = {k: v.clone() for k, v in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-2)
    start = 0
    saved = run / "last.safetensors"
    if saved.exists():
        state = load_file(saved)
        start = int(state.pop("step"))
        average = {k[2:]: v for k, v in state.items() if k.startswith("a.")}
        network.load_state_dict({k[2:]: v for k, v in state.items() if k.startswith("n.")})
    loader = iter(DataLoader(Examples(kept, seed + start), None, num_workers=1, prefetch_factor=4))
    began, losses = time.time(), []
    for step in range(start, steps):
        done = step / steps
        now = rate * min(1, (step - start + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-5
        for group in optimiser.param_groups:
            group["lr"] = now
        image, tissues, coordinates = next(loader)
        with torch.autocast("cpu", torch.bfloat16):
            out, places = network(image)
        value = loss(out, places, tissues, coordinates.movedim(-1, 1))
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        decay = min(0.998, (step + 1) / (step + 20))
        for key, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                average[key].lerp_(tensor, 1 - decay)
            else:
                average[key].copy_(tensor)
        losses.append(value.item())
        if (step + 1) % 50 == 0:
            print(
                f"{step + 1} loss {np.mean(losses[-50:]):.3f} {time.time() - began:.0f} s",
                flush=True,
            )
        if (step + 1) % 250 == 0 or step + 1 == steps:
            state = {f"n.{k}": v.contiguous() for k, v in network.state_dict().items()}
            state |= {f"a.{k}": v.contiguous() for k, v in average.items()}
            save_file(state | {"step": torch.tensor(step + 1)}, saved)
            half = {k: v.half().contiguous() for k, v in average.items() if v.is_floating_point()}
            save_file(half, run / "head_network.safetensors")
            tested = HeadNetwork()
            tested.load_state_dict({k: v.float() for k, v in half.items()}, strict=False)
            print(step + 1, json.dumps(validate(tested, held, 40)), flush=True)
    return run / "head_network.safetensors"
