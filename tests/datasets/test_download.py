"""Downloads by several processes, to a full disk, and only by encrypted connections."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest
import requests
from helpers.file_server import serving
from reliability.interruptions import GET

from expert.datasets.download import _connection, checksum, download, downloading
from expert.errors import Cancelled, InputError

CONTENT = os.urandom(1 << 20)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.nii.gz").write_bytes(CONTENT)
    with serving(tmp_path / "served") as running:
        yield running


def quiet(name: str, fraction: float) -> None:
    pass


def test_two_processes_download_a_file_once(server, tmp_path):
    server.pause_s = 0.01
    target = tmp_path / "cache" / "a.nii.gz"
    command = [sys.executable, "-c", GET, f"{server.address}/a.nii.gz", str(target)]
    for process in [subprocess.Popen(command) for _ in range(2)]:
        assert process.wait() == 0
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_waiting_for_another_process_can_be_cancelled(tmp_path):
    target = tmp_path / "a.nii.gz"

    def cancel(name: str, fraction: float) -> None:
        raise Cancelled("Cancelled.")

    with (
        downloading(target, "A", quiet),
        pytest.raises(Cancelled),
        downloading(target, "A", cancel),
    ):
        pass
    with downloading(target, "A", quiet):  # free again
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are of POSIX")
def test_a_full_disk_is_one_sentence_and_the_next_download_goes_on(server, tmp_path):
    target = tmp_path / "cache" / "a.nii.gz"
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with downloading(target, "A", quiet) as part, pytest.raises(InputError) as caught:
            download(f"{server.address}/a.nii.gz", part, "A", quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert "a.nii.gz could not be written to" in str(caught.value)
    assert "Make room there" in str(caught.value)
    with downloading(target, "A", quiet) as part:
        assert 0 < part.stat().st_size <= 300_000
        download(f"{server.address}/a.nii.gz", part, "A", quiet)
        assert part.read_bytes() == CONTENT
        assert len(checksum(part)) == 64
    assert server.requests[-1][1].startswith("bytes=")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with (
        pytest.raises(InputError, match=r"a\.nii could not be written to"),
        downloading(tmp_path / "cache" / "a.nii", "A", quiet),
    ):
        pass


def test_a_redirection_to_an_unencrypted_address_is_not_followed():
    with _connection("https://images.example/a.nii") as connection:
        assert set(connection.adapters) == {"https://"}
        with pytest.raises(requests.exceptions.InvalidSchema):
            connection.get("http://127.0.0.1:9/a.nii", timeout=5)
