"""Several real processes: of PyTorch's groups on processors, and of the command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

LONGEST_SECONDS = 300
"""A process that runs longer hangs."""
HEAD = """
import atexit
import torch
from torch import distributed
distributed.init_process_group("gloo")
atexit.register(distributed.destroy_process_group)
rank = distributed.get_rank()
"""


def heed_ctrl_c() -> None:
    """Receive Ctrl-C in this process and those it starts: a job in the background ignores it."""
    elsewhere = threading.current_thread() is not threading.main_thread()
    if not elsewhere and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run_group(code: str, count: int) -> list[str]:
    """What each process of a group prints that runs this code, which knows its `rank`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", HEAD + code],
            env={
                **os.environ,
                "RANK": str(rank),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    ended = [process.communicate(timeout=LONGEST_SECONDS) for process in running]
    for process, (_, errors) in zip(running, ended, strict=True):
        assert process.returncode == 0, errors
    return [out for out, _ in ended]


def group_is_gone(number: int) -> bool:
    """Whether no process of a group is left, at the latest after five seconds."""
    for _ in range(50):
        try:
            os.killpg(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def command(*arguments: str | Path) -> list[str]:
    """The command `expert` as a process of its own."""
    return [sys.executable, "-m", "expert.cli", *map(str, arguments)]
