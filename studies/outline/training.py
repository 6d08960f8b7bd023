"""Training of the outline network: `python -m studies head-outline`."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from expert.files import replacing
from expert.imaging.outline_network import OutlineNetwork, read_outline_network
from studies.outline.examples import Sources, draw

HEADS, OTHERS = 16, 6
"""Images of a batch with and without a head."""
RATE = 3e-3


def loss(logits: Tensor, inside: Tensor) -> Tensor:
    """Cross-entropy and, for images with a head, Dice."""
    entropy = functional.binary_cross_entropy_with_logits(logits, inside)
    found, true = logits[:HEADS].sigmoid(), inside[:HEADS]
    both = (found * true).sum((1, 2, 3))
    dice = 1 - 2 * both / (found.sum((1, 2, 3)) + true.sum((1, 2, 3)) + 1)
    return entropy + dice.mean()


def train_outline(
    sources: Sources | None, target: Path, *, steps: int, seed: int
) -> OutlineNetwork:
    """Train a network, or read it where it was trained before.

    Parameters
    ----------
    sources : Sources, optional
        Images with outlines, and images without a head; not needed where it was trained.
    target : pathlib.Path
        Weights to write, in half precision.
    steps : int
        Batches.
    seed : int

    Returns
    -------
    OutlineNetwork
    """
    if target.exists():
        return read_outline_network(str(target))
    assert sources is not None
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = OutlineNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    began, losses = time.time(), []
    for step in range(steps):
        now = RATE * min(1, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * step / steps)) + 1e-5
        for group in optimiser.param_groups:
            group["lr"] = now
        images, inside = draw(sources, HEADS, OTHERS, generator)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images)
        value = loss(logits.float(), inside)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        decay = min(0.99, (step + 1) / (step + 20))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                average[name].lerp_(tensor, 1 - decay)
        losses.append(value.item())
        if (step + 1) % 100 == 0:
            seconds = time.time() - began
            print(f"{step + 1} loss {np.mean(losses[-100:]):.4f} {seconds:.0f} s", flush=True)
    half = {k: v.half().contiguous() for k, v in average.items() if v.is_floating_point()}
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        save_file(half, temporary)
    return read_outline_network(str(target))
