"""Talks to a ready child as a node does."""

import json
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any

from ncn_executor import ready_child

ROOT = Path(__file__).resolve().parents[1]
GENERIC = ROOT / "generic_model_executor.py"


def frame(header: Any, body: bytes = b"") -> bytes:
    """One frame; a header may be bytes of any kind."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<IQ", len(text), len(body)) + text + body


class Talk:
    """The node's end of a conversation."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.stream.settimeout(120)

    def load(
        self,
        model: Path,
        script: Path = GENERIC,
        warm_up: str = "none",
        threads: int = 1,
        requests_max: int = 1000,
        check_weights: bool = True,
        rewound: bool = False,
    ) -> Any:
        """Asks for a model; the answer's header."""
        header, body = self.ask(
            {
                "do": "load",
                "script": str(script),
                "model": str(model),
                "threads": threads,
                "requests_max": requests_max,
                "check_weights": check_weights,
                "rewound": rewound,
                "warm_up": warm_up,
            }
        )
        assert body == b""
        return header

    def run(self, data: bytes | dict[str, Any], **more: Any) -> tuple[Any, bytes]:
        """Asks one request; the answer's header and body."""
        request = {
            "do": "run",
            "content_type": "",
            "accept": "",
            "request_id": "",
            "seed": None,
            "output_bytes_max": 1 << 28,
        }
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.ask({**request, **more}, body)

    def ask(self, header: dict[str, Any], body: bytes = b"") -> tuple[Any, bytes]:
        self.stream.sendall(frame(header, body))
        return self.answer()

    def answer(self) -> tuple[Any, bytes]:
        header_bytes, body_bytes = struct.unpack("<IQ", self._take(12))
        assert header_bytes <= 64 * 1024
        return json.loads(self._take(header_bytes)), self._take(body_bytes)

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.stream.recv(count - len(data))
            assert chunk, "the child ended"
            data += chunk
        return data


class Child(Talk):
    """A child in a thread of this process, where its lines can be counted."""

    def __init__(self, work: Path) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(ours)
        self._status: list[int] = []
        self._theirs = theirs
        self._thread = threading.Thread(target=self._serve, args=(work,))
        self._thread.start()

    def _serve(self, work: Path) -> None:
        descriptor = os.dup(self._theirs.fileno())
        self._theirs.close()
        try:
            self._status.append(ready_child.serve(descriptor, work))
        finally:
            os.close(descriptor)

    def end(self) -> int:
        """Closes the stream; the exit status."""
        self.stream.close()
        self._thread.join(120)
        return self._status[0]

    def status(self) -> int:
        """The exit status of a child that ends by itself."""
        self._thread.join(120)
        return self._status[0]
