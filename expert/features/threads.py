"""Number of threads of torch: many small steps are faster, and repeatable, in one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, torch computes in one thread.

    Beside another busy process, several threads wait for each other longer than they compute. And
    the result is the same with any number of cores: sums in another order differ in the last
    digits, of which registration and rounding to grey values make thousandths of a year.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
