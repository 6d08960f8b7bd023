"""Tests of `expert.cohort.runner`: real worker processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from helpers.cohorts import copies

from expert.cohort.inputs import Item, items
from expert.cohort.rows import Options, predict_row
from expert.cohort.runner import FEWEST, _cluster, _row, default_workers, predict_rows
from expert.errors import Cancelled, InputError, ModelError
from expert.model_file import load_model


def worker_processes() -> list[psutil.Process]:
    every = psutil.Process().children(recursive=True)
    return [p for p in every if "spawn_main" in " ".join(p.cmdline()) and p.is_running()]


def test_few_images_need_no_workers_and_many_take_the_cores():
    assert default_workers(FEWEST - 1) == 1
    assert 1 <= default_workers(100_000) <= os.cpu_count()


def test_in_this_process_rows_come_one_by_one(tiny_model_file, squares):
    model, todo = load_model(tiny_model_file), items([squares])[:4]
    rows = predict_rows(model, todo, Options())
    assert next(rows) == predict_row(model, todo[0], Options())
    assert [row["input"] for row in rows] == [item.name for item in todo[1:]]


def test_a_run_can_be_cancelled_within_an_image(one_plane, head_file):
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(predict_rows(one_plane, [Item("h", head_file)], Options(), check=check))
    assert len(calls) == 4


def test_workers_give_the_same_rows_and_listen_to_this_computer_only(
    tiny_model_file, squares, tmp_path
):
    model = load_model(tiny_model_file)
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    todo = [*items([squares])[:7], Item("bad", bad), Item("gone", tmp_path / "gone.png")]
    rows = []
    for row in predict_rows(model, todo, Options(), workers=2):
        if not rows:
            listening = [
                connection.laddr.ip
                for process in (psutil.Process(), *worker_processes())
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            ]
            assert len(worker_processes()) == 2
        rows.append(row)
    assert listening
    assert set(listening) == {"127.0.0.1"}
    assert not worker_processes()
    expected = {item.name: predict_row(model, item, Options()) for item in todo}
    assert {row["input"]: row for row in rows} == expected
    assert len(rows) == len(todo)


@pytest.mark.slow
def test_the_rows_of_killed_workers_are_done_again(model, head_file, tmp_path):
    todo = items(copies(head_file, tmp_path, 10))
    names = []
    for row in predict_rows(model, todo, Options(), workers=2):
        names.append(row["input"])
        assert row["error"] == ""
        if len(names) in (2, 4):
            time.sleep(0.3)  # both workers are in the middle of an image
            worker_processes()[0].send_signal(signal.SIGKILL)
    assert sorted(names) == sorted(item.name for item in todo)


@pytest.mark.slow
def test_cancelling_ends_the_workers(model, head_file, tmp_path):
    todo = items(copies(head_file, tmp_path, 6))
    rows = predict_rows(model, todo, Options(), workers=2)
    next(rows)
    start = time.monotonic()
    rows.close()
    assert time.monotonic() - start < 1.5
    assert not worker_processes()


@pytest.mark.slow
def test_an_image_that_ends_every_worker_is_one_row_with_an_error():
    with _cluster(2, None) as client:
        future = client.submit(os._exit, 1)
        while not future.done():
            time.sleep(0.1)
        row = _row(Item("huge", Path("huge")), future, Options(), {"model": "phantom"})
        assert row["error"].startswith("The image ended several worker processes")
        assert (row["input"], row["model"], row["prediction"]) == ("huge", "phantom", "")


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and a worker as processes of their own, in another folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    host, port = address.split(":")
    source = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    environment = {**os.environ, "PYTHONPATH": source}
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    def start(*command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
            cwd=folder,
            env=environment,
            stderr=subprocess.DEVNULL,
        )

    running = [
        start("dask_scheduler", "--host", host, "--port", port, "--no-dashboard"),
        start("dask_worker", f"tcp://{address}", "--nthreads", "1", "--host", host),
    ]
    yield f"tcp://{address}"
    for process in running:
        process.terminate()
    for process in running:
        process.wait(20)


@pytest.mark.slow
def test_workers_of_a_scheduler_elsewhere(scheduler, tiny_model_file, squares, monkeypatch):
    monkeypatch.chdir(squares.parent)
    model = load_model(tiny_model_file)
    todo = items([path.name for path in sorted(squares.parent.glob("*.png"))[:8]])
    todo.append(Item("gone.png", Path("gone.png")))
    rows = list(predict_rows(model, todo, Options(), scheduler=scheduler))
    assert {row["input"]: row for row in rows} == {
        item.name: predict_row(model, item, Options()) for item in todo
    }
    with pytest.raises(ModelError, match="another checksum"):
        list(predict_rows(replace(model, sha256="0" * 64), todo, Options(), scheduler=scheduler))


def test_a_scheduler_that_is_not_there_is_one_sentence(model, monkeypatch):
    monkeypatch.setattr("expert.cohort.runner.CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(InputError, match="There is no Dask scheduler at"):
            list(predict_rows(model, [Item("a", Path("a"))], Options(), scheduler=address))
