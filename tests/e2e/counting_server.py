"""A file server over HTTP that knows how much its clients have fetched."""

import contextlib
import http.server
import re
import socket
import struct
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import cast

CHUNK_BYTES = 16 << 10
BYTES_ACKED_OFFSET = 120  # In struct tcp_info of linux/tcp.h.


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = cast(_Server, self.server)
        path = server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        begin, end = (int(wanted[1]), int(wanted[2]) + 1) if wanted else (0, size)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(end - begin))
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(begin)
            while begin < end:
                chunk = file.read(min(CHUNK_BYTES, end - begin))
                server.wait_for_turn(len(chunk))
                self.wfile.write(chunk)
                server.count(sent=len(chunk))
                begin += len(chunk)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        info = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        (acknowledged,) = struct.unpack_from("<Q", info, BYTES_ACKED_OFFSET)
        cast(_Server, self.server).count(acknowledged=acknowledged)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, folder: Path, bytes_per_second: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.sent_bytes = 0
        self.acknowledged_bytes = 0
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._turn = time.monotonic()

    def wait_for_turn(self, size: int) -> None:
        """Keeps all connections together to the rate."""
        with self._lock:
            self._turn = max(self._turn, time.monotonic())
            wait = self._turn - time.monotonic()
            self._turn += size / self._bytes_per_second
        time.sleep(max(wait, 0))

    def count(self, sent: int = 0, acknowledged: int = 0) -> None:
        with self._lock:
            self.sent_bytes += sent
            self.acknowledged_bytes += acknowledged

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of clients that are gone."""


class CountingServer:
    """Serves the files below a folder, with ranges, while it is entered.

    It gives no more than its clients can take at once, so that next to nothing lies in
    their sockets.
    """

    def __init__(self, folder: Path, bytes_per_second: int) -> None:
        self._server = _Server(folder, bytes_per_second)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def sent_bytes(self) -> int:
        """So far; a little more than what clients that are gone have received."""
        return self._server.sent_bytes

    @property
    def fetched_bytes(self) -> int:
        """What clients have received over connections that have ended, with headers."""
        return self._server.acknowledged_bytes

    def __enter__(self) -> "CountingServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
