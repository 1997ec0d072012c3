"""A file server over HTTP that knows how much its clients have fetched."""

import http.server
import re
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import cast

CHUNK_BYTES = 16 << 10
READ_SECONDS_MAX = 20


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = cast(_Server, self.server)
        age = server.age
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
                server.begin_chunk(len(chunk), age)
                try:
                    self.wfile.write(chunk)
                finally:
                    server.end_chunk(len(chunk))
                begin += len(chunk)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, folder: Path, bytes_per_second: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.age = 0  # How many clients were disconnected.
        self.sent_bytes = 0
        self._bytes_per_second = bytes_per_second
        self._changed = threading.Condition()
        self._frozen = False
        self._writing = 0
        self._turn = time.monotonic()

    def begin_chunk(self, size: int, age: int) -> None:
        """Waits for its turn: all connections together keep to the rate."""
        with self._changed:
            self._turn = max(self._turn, time.monotonic())
            wait = self._turn - time.monotonic()
            self._turn += size / self._bytes_per_second
        time.sleep(max(wait, 0))
        with self._changed:
            self._changed.wait_for(lambda: not self._frozen)
            if age != self.age:
                raise ConnectionAbortedError
            self._writing += 1

    def end_chunk(self, size: int) -> None:
        with self._changed:
            self._writing -= 1
            self.sent_bytes += size
            self._changed.notify_all()

    def freeze(self) -> None:
        with self._changed:
            self._frozen = True
            self._changed.wait_for(lambda: self._writing == 0)

    def disconnect(self) -> None:
        with self._changed:
            self.age += 1
            self._frozen = False
            self._changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of clients that are gone."""


class CountingServer:
    """Serves the files below a folder, with ranges, while it is entered."""

    def __init__(self, folder: Path, bytes_per_second: int) -> None:
        self._server = _Server(folder, bytes_per_second)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def sent_bytes(self) -> int:
        return self._server.sent_bytes

    def freeze(self) -> None:
        """Sends nothing more, and waits until its client has read what was sent.

        What lies unread in the sockets of a process when it is killed is for the
        machine and its load to say, and not counted so.
        """
        self._server.freeze()
        deadline = time.monotonic() + READ_SECONDS_MAX
        while self._on_the_way():
            assert time.monotonic() < deadline, "the client does not read"
            time.sleep(0.001)

    def disconnect(self) -> None:
        """Goes on with new connections alone; the others have lost their client."""
        self._server.disconnect()

    def _on_the_way(self) -> bool:
        port = f":{self._server.server_port:04X}"
        sockets = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        for line in sockets:
            _, local, remote, _, queues = line.split()[:5]
            sent, received = queues.split(":")
            if local.endswith(port) and int(sent, 16) > 0:
                return True
            if remote.endswith(port) and int(received, 16) > 0:
                return True
        return False

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
