"""Predict many images, one after the other or in worker processes of a Dask cluster.

Few tasks are given to the cluster at a time, so that neither its memory nor its start depend on the
number of images. A lost worker is replaced, and the images it had are predicted again.
"""

from __future__ import annotations

import functools
import logging
import os
import queue
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from expert import __version__
from expert.cohort.inputs import Item
from expert.cohort.rows import Options, Row, first_columns, model_columns, predict_row
from expert.datasets.worker_processes import without_ctrl_c
from expert.errors import ExpertError, InputError, ModelError
from expert.model_file import SHIPPED, Model, load_model

if TYPE_CHECKING:
    from distributed import Client, Future

WORKER_BYTES = 1.5e9
"""Memory that one worker needs."""
FEWEST = 20
"""Fewer images are predicted faster without the start of worker processes."""
AHEAD = 3
"""Tasks per worker that the cluster has at a time, so that no worker waits for the next one."""
POLL_SECONDS = 0.2
"""Time between two looks whether the run was cancelled."""
RECOUNT_SECONDS = 5.0
"""Time between two looks at the number of workers of a cluster elsewhere."""
CONNECT_SECONDS = 15
ENVIRONMENT = {
    "OMP_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": 1,
    "MALLOC_ARENA_MAX": 1,
    "MALLOC_MMAP_THRESHOLD_": 2**30,
    "MALLOC_TRIM_THRESHOLD_": 2**30,
}
"""Environment of worker processes on this computer. They keep their memory from image to image:
with Dask's own setting, which returns it after each step, images take 1.5 times as long."""
SETTINGS = {
    "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,  # it would wait for memory that is needed
}
"""Dask's configuration for workers on this computer."""
Check = Callable[[], None]


@dataclass(frozen=True)
class Job:
    """What a worker must know beside the image; small, because it goes with every task."""

    model: str
    """Shipped name, or absolute path of the file."""
    sha256: str
    """Checksum of the model that the command has loaded."""
    options: Options
    version: str = __version__


def default_workers(images: int) -> int:
    """Number of worker processes for some images on this computer.

    Parameters
    ----------
    images : int

    Returns
    -------
    int
        1 for few images; else one per core, as far as there is memory (1.5 GB each).
    """
    if images < FEWEST:
        return 1
    import psutil
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    free = min(psutil.virtual_memory().available, MEMORY_LIMIT)
    return max(1, min(int(CPU_COUNT), int(free / WORKER_BYTES), images))


def predict_rows(
    model: Model,
    items: Sequence[Item],
    options: Options,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    check: Check = lambda: None,
    notify: Callable[[str], None] = lambda text: None,
) -> Generator[Row, None, None]:
    """Predict images; rows come in the order in which they are finished.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    items : sequence of Item
    options : Options
    workers : int
        Worker processes on this computer; with 1, everything happens in this process.
    scheduler : str, optional
        Address of a Dask scheduler whose workers are used instead. They must have the same version
        of this software, and see the files at the same paths.
    check : callable
        Called several times a second; may raise `expert.errors.Cancelled`, which ends the run.
    notify : callable
        Called with a sentence for the user.

    Yields
    ------
    dict
        From `expert.cohort.rows.predict_row`, once for each item.

    Raises
    ------
    ExpertError
        The scheduler cannot be reached, or its workers cannot predict with this model.
    """
    if scheduler is None and workers <= 1:
        for item in items:
            check()
            yield predict_row(model, item, options, lambda stage, fraction: check())
        return
    given = {item.name: str(item.path) for item in items}
    if scheduler is not None:
        items = [replace(item, path=item.path.absolute()) for item in items]
        options = replace(
            options,
            explanations=options.explanations and options.explanations.absolute(),
            beside=options.beside.absolute(),
        )
    path = model.path
    if path is None:
        raise ModelError(f"The model {model.info.name} must be a file to be used by workers.")
    name = path.stem if path.parent == SHIPPED else str(path.absolute())
    job = Job(name, model.sha256, options)
    identity = model_columns(model)
    with _cluster(workers, scheduler) as client:
        if scheduler is not None and not client.nthreads():
            notify(f"The scheduler {scheduler} has no workers yet: waiting for them.")
        for item, future in _finished(client, job, items, check):
            row = _row(item, future, options, identity)
            row["error"] = str(row["error"]).replace(str(item.path), given[item.name])
            yield row


def predict_task(job: Job, item: Item) -> Row:
    """Predict one image in a worker.

    Parameters
    ----------
    job : Job
    item : Item

    Returns
    -------
    dict
        From `expert.cohort.rows.predict_row`.

    Raises
    ------
    ModelError
        The worker's model or software is not that of the command.
    """
    if job.version != __version__:
        raise ModelError(
            f"A worker has version {__version__} of napari-expert, and this computer {job.version}:"
            " install the same version."
        )
    _use_one_thread()
    return predict_row(_worker_model(job.model, job.sha256), item, job.options)


@functools.lru_cache(1)
def _worker_model(name: str, sha256: str) -> Model:
    """The model of this worker, loaded once."""
    model = load_model(name)
    if model.sha256 != sha256:
        raise ModelError(
            f"The model {model.info.name} of a worker has another checksum than that of the "
            "command: use the same file."
        )
    return model


@functools.lru_cache(1)
def _use_one_thread() -> None:
    import SimpleITK as sitk
    import torch

    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _finished(
    client: Client, job: Job, items: Sequence[Item], check: Check
) -> Iterator[tuple[Item, Future]]:
    """Submit tasks, a few at a time, and yield them as they are finished."""
    done: queue.SimpleQueue[Future] = queue.SimpleQueue()
    running: dict[Future, Item] = {}
    waiting = iter(items)
    most, counted = 0, 0.0
    while True:
        now = time.monotonic()
        if now - counted > RECOUNT_SECONDS:
            counted, most = now, AHEAD * max(1, sum(client.nthreads().values()))
        while len(running) < most and (item := next(waiting, None)) is not None:
            future = client.submit(predict_task, job, item, pure=False)
            running[future] = item
            future.add_done_callback(done.put)
        if not running:
            return
        check()
        if client.status not in ("running", "connecting"):
            raise _connection_lost()
        with suppress(queue.Empty):
            future = done.get(timeout=POLL_SECONDS)
            yield running.pop(future), future


def _row(item: Item, future: Future, options: Options, identity: dict[str, str]) -> Row:
    """The row of a finished task; one with an error if the image ended its workers."""
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise _connection_lost()
    if future.status == "finished":
        row: Row = future.result()
        return row
    problem = future.exception()
    if isinstance(problem, KilledWorker):
        error = "The image ended several worker processes: it is too large, or damaged."
        return first_columns(item, options, identity) | {"error": error}
    if isinstance(problem, ExpertError):
        raise problem
    raise ExpertError(
        f"The workers cannot predict ({type(problem).__name__}: {problem}): install the same "
        "version of napari-expert for them."
    )


def _connection_lost() -> ExpertError:
    return ExpertError(
        "The connection to the scheduler was lost: the finished rows are in the table, and the "
        "same command continues."
    )


@contextmanager
def _cluster(workers: int, scheduler: str | None) -> Iterator[Client]:
    """A client of a scheduler, or of a cluster on this computer that no other can reach."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    # Lost workers are dealt with here, and are no news for the user.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"There is no Dask scheduler at {scheduler}: give its address, such as "
                "tcp://10.0.0.1:8786."
            ) from error
        try:
            yield client
        finally:
            client.close(timeout=2)
        return
    with dask.config.set(SETTINGS), without_ctrl_c():
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=MEMORY_LIMIT // 2,  # a worker above is ended, not the whole computer
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    try:
        with Client(cluster, set_as_default=False) as client:
            yield client
    finally:
        _end_workers(cluster)
        with suppress(TimeoutError):
            cluster.close(timeout=2)


def _end_workers(cluster: Any) -> None:
    """End the worker processes at once: they have nothing to finish, and closing them waits."""
    for nanny in cluster.workers.values():
        with suppress(OSError, TypeError):  # it has just ended, or is being replaced
            os.kill(nanny.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
