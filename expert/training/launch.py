"""Start of the processes of a training, and the end of all of them if one of them fails.

Lightning starts the command of the first process again for each further process of a host: each
runs the whole training, so that whatever follows a stage is done by all of them, or by the first.
A launcher that only runs a stage in further processes would have to send its state back and forth.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch

from expert.datasets.worker_processes import follow_parent, without_ctrl_c
from expert.errors import ExpertError
from expert.training.batch_statistics import BatchStatistics
from expert.training.framework import lightning
from expert.training.processes import count, is_first, wait

LONGEST_WAIT = timedelta(days=1)
"""For the first process, which prepares the images while the others wait."""
GRACE_SECONDS = 5.0
"""Time in which the process that failed first is found, before an error of communication counts."""
_layout = (1, 1)
"""Processes per host and number of hosts, once they are started: of this process, like the process
group of PyTorch."""


class EndAtOnce(lightning.Callback):
    """A process ends when it is asked to, and the others with it.

    Lightning would let the others know first, and wait for them while they wait for this one.
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Replace Lightning's reaction to the signal SIGTERM."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def trainer_settings() -> dict[str, Any]:
    """Arguments of Lightning's trainer for the processes that run."""
    cuda = torch.cuda.is_available()
    if count() == 1:
        return {
            "accelerator": "auto",
            "devices": [torch.cuda.current_device()] if cuda else 1,
            "callbacks": [],
        }
    devices, nodes = _layout
    return {
        "accelerator": "gpu" if cuda else "cpu",
        "devices": devices,
        "num_nodes": nodes,
        "strategy": lightning.pytorch.strategies.DDPStrategy(timeout=LONGEST_WAIT),
        "use_distributed_sampler": False,  # each process takes its share of the same batches
        "sync_batchnorm": cuda,
        "callbacks": [EndAtOnce()],
        "plugins": [] if cuda else [BatchStatistics()],  # PyTorch's own needs a graphics card
    }


@contextmanager
def started(devices: int = 1, nodes: int = 1) -> Iterator[None]:
    """Start the processes of a training, and end all of them if one of them fails.

    Lightning starts the command of this process again for each further process of this host, unless
    a scheduler (SLURM, torchrun) has started them all.

    Parameters
    ----------
    devices : int
        Processes of each host: graphics cards where there are any, otherwise processors.
    nodes : int
        Hosts.

    Raises
    ------
    ExpertError
        The processes cannot be started, do not fit the scheduler's, or one was lost.
    """
    total, cuda = devices * nodes, torch.cuda.is_available()
    scheduled = int(os.environ.get("WORLD_SIZE", total))
    if scheduled != total:
        raise ExpertError(
            f"{scheduled} processes were started, but --devices {devices} and --nodes {nodes} are "
            f"{total}: give the processes of each host as --devices, and the hosts as --nodes."
        )
    if total == 1:
        yield
        return
    if cuda and devices > torch.cuda.device_count():
        raise ExpertError(
            f"This host has {torch.cuda.device_count()} graphics cards, fewer than --devices "
            f"{devices}."
        )
    fabric = lightning.Fabric(
        accelerator="gpu" if cuda else "cpu",
        devices=devices,
        num_nodes=nodes,
        strategy=lightning.fabric.strategies.DDPStrategy(timeout=LONGEST_WAIT),
    )
    surroundings = fabric.strategy.cluster_environment
    if nodes > 1 and type(surroundings).__name__ == "LightningEnvironment":
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
        if missing:
            raise ExpertError(
                f"--nodes {nodes} needs a scheduler, or the environment variables "
                f"{' and '.join(missing)} of the first host and NODE_RANK of each: see "
                "docs/training.md."
            )
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if int(os.environ.get("LOCAL_RANK", 0)):
        follow_parent()
    try:
        with without_ctrl_c():
            fabric.launch()
    except (ValueError, RuntimeError) as error:
        raise ExpertError(f"The processes could not be started: {_line(error)}") from error
    atexit.register(_leave)
    global _layout
    _layout = (devices, nodes)
    others = _Others(getattr(fabric.strategy.launcher, "procs", []))
    try:
        yield
        wait()
    except BaseException as error:
        if not (is_first() and isinstance(error, ExpertError | KeyboardInterrupt)):
            time.sleep(GRACE_SECONDS)  # this process is ended if another one failed first
        others.end()
        if isinstance(error, RuntimeError) and any(
            name in str(error).lower() for name in ("gloo", "nccl", "connection")
        ):
            raise ExpertError(
                "The connection to another process of the training was lost; the same command "
                f"resumes the training. ({_line(error)})"
            ) from error
        raise
    others.finished = True


class _Others:
    """The processes that Lightning started from this one: if one of them fails, all end.

    Parameters
    ----------
    children : list of subprocess.Popen
    """

    def __init__(self, children: list[Any]) -> None:
        self.children, self.finished = children, False
        for number, child in enumerate(children, 2):
            threading.Thread(target=self._follow, args=(number, child), daemon=True).start()

    def end(self) -> None:
        """End them at once: they may wait for this process."""
        self.finished = True
        for child in self.children:
            if child.poll() is None:
                child.kill()

    def _follow(self, number: int, child: Any) -> None:
        if child.wait() and not self.finished:
            sys.stderr.write(
                f"Error: process {number} of {count()} ended with exit code {child.returncode}, "
                "and so do the others. The same command resumes the training.\n"
            )
            sys.stderr.flush()
            self.end()
            os._exit(1)  # the main thread may wait for that process


def _leave() -> None:
    """Leave the group of processes: its threads may not outlive the interpreter."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
