"""Several processes of one training: their shares of a batch, and what they exchange.

Every process draws the same random numbers and the same batches, computes its share of each batch
and of each projection, and gets the results of the others. The first one writes all files.
`expert.training.launch` starts them; before that, and without it, there is one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

from expert.errors import ExpertError


def count() -> int:
    """Number of processes."""
    return distributed.get_world_size() if _connected() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if _connected() else 0


def is_first() -> bool:
    """Whether this process writes the files."""
    return rank() == 0


def _connected() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def wait() -> None:
    """Wait until every process is here."""
    summed(torch.zeros(1))


def agreed(decision: bool) -> bool:
    """What the first process decides."""
    return bool(of_the_first(torch.tensor(float(decision))))


def of_the_first(values: Tensor) -> Tensor:
    """The tensor of the first process, on the device of `values`."""
    return summed(values if is_first() else torch.zeros_like(values))


def summed(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes, on the device of `values`; without a gradient."""
    if count() == 1:
        return values
    total = values.detach().to(_device(), copy=True).contiguous()
    distributed.all_reduce(total)
    return total.to(values.device)


def _device() -> torch.device:
    """Where the group exchanges tensors."""
    if distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def gathered(values: Tensor) -> Tensor:
    """Tensors of the same shape of all processes, stacked: (N, *shape).

    The gradient of the own tensor is the sum of its gradients in all processes. PyTorch divides the
    gradients of the weights by the number of processes: so each process may compute the same loss
    of all rows, or its part of a mean over them.
    """
    found: Tensor = _Gather.apply(values)  # type: ignore[no-untyped-call]
    return found


class _Gather(torch.autograd.Function):
    """The function of `gathered`; that of PyTorch is deprecated, and its successor not public."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values) for _ in range(count())]
        distributed.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return summed(gradient)[rank()]


@contextmanager
def first_one_first() -> Iterator[None]:
    """Run a block in the first process, then in the others, which find its files."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


class Share:
    """The rows of a batch that this process computes: every N-th image or group of images.

    Parameters
    ----------
    images : int
        In the whole batch.
    group : int
        Images that follow one another and stay in one process, such as the planes of a subject.

    Raises
    ------
    ExpertError
        A process would have no image.
    """

    def __init__(self, images: int, group: int = 1) -> None:
        self.images, self.group = images, group
        if images // group < count():
            raise ExpertError(
                f"A batch of {images // group} images or subjects cannot be divided among "
                f"{count()} processes: use fewer processes (--devices, --nodes)."
            )
        self.rows = torch.arange(images).reshape(-1, group)[rank() :: count()].flatten()

    @property
    def weight(self) -> float:
        """Factor of a mean over the own rows: its mean over the processes is that of the batch."""
        return len(self.rows) * count() / self.images

    def own(self, batch: Tensor) -> Tensor:
        """The own rows of a batch (B, ...)."""
        return batch if count() == 1 else batch[self.rows.to(batch.device)]

    def first(self, images: int) -> Share:
        """The own rows among the first ones of the batch."""
        part = Share(min(images, self.images))
        part.rows = self.rows[self.rows < part.images]
        return part

    def gather(self, own: Tensor) -> Tensor:
        """All rows (B, ...) of a batch from the own ones, in the batch's order.

        With a gradient, see `gathered`.
        """
        if count() == 1:
            return own
        groups = -(-self.images // (self.group * count()))
        missing = groups * self.group - len(own)
        padded = torch.cat([own, own.new_zeros(missing, *own.shape[1:])])
        parts = gathered(padded)
        # (processes, groups, group, ...): what was padded is last in the order of the batch.
        whole: Tensor = parts.unflatten(1, (groups, self.group)).transpose(0, 1).flatten(0, 2)
        return whole[: self.images]
