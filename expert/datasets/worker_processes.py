"""Processes that prepare the images of a data set."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

LOOK_SECONDS = 0.5
"""Time between two looks whether another process has ended."""


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Processes and threads that are started in this block do not receive Ctrl-C.

    A terminal sends it to all processes of a command; only the first one reacts. Not on
    Windows.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        resource_tracker.ensure_running()  # its start, else with the first process, undoes it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextmanager
def in_processes(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int | None
) -> Iterator[Iterator[tuple[int, Future[Any]]]]:
    """Call a function in several processes.

    The processes end with this one. They do not receive Ctrl-C. If the block ends by an
    error or by Ctrl-C, they end at once.

    Parameters
    ----------
    function : callable
        Of a module's top level.
    calls : sequence of tuple
        The arguments of each call; they are pickled.
    jobs : int, optional
        Number of processes; None: one per core.

    Yields
    ------
    iterator of (int, concurrent.futures.Future)
        Index of a call and its result, as they finish.
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        max(1, min(jobs or os.cpu_count() or 1, len(calls))),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=follow_parent,
    )
    try:
        with without_ctrl_c():
            running = {pool.submit(function, *call): n for n, call in enumerate(calls)}
        yield ((running[future], future) for future in as_completed(running))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    pool.shutdown()


def follow_parent() -> None:
    """End this process as soon as the one that started it has ended."""
    parent, number = multiprocessing.parent_process(), os.getppid()

    def follow() -> None:
        if parent is not None:
            parent.join()
        while parent is None and os.getppid() == number:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
