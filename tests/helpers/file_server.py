"""A real HTTP server on this computer, with resumable downloads, that can be slow or break off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FileServer(ThreadingHTTPServer):
    """Serves the files of a folder."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.breaks_after: int | None = None
        """Bytes after which the connection is closed; None: never."""
        self.pause_s = 0.0
        """After every 16 kB."""
        self.resumable = True
        self.requests: list[tuple[str, str]] = []
        """Path and range of every request."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "") if self.server.resumable else ""
        self.server.requests.append((self.path, wanted))
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        stop = len(data) if self.server.breaks_after is None else start + self.server.breaks_after
        for place in range(start, min(stop, len(data)), 1 << 14):
            try:
                self.wfile.write(data[place : min(place + (1 << 14), stop)])
            except OSError:  # the other side hung up
                return
            time.sleep(self.server.pause_s)
        self.close_connection = True


@contextmanager
def serving(folder: Path) -> Iterator[FileServer]:
    """Serve a folder within the block."""
    server = FileServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
