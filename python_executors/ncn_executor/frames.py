"""Frames: how a node and a ready child talk over one stream, both ways.

A frame is the number of bytes of its header (4 bytes, little endian), that of its
body (8 bytes), the header (a JSON object in UTF-8) and the body.
"""

import json
import os
import struct
from typing import Any

HEADER_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 4 * 1024**3
_PREFIX = struct.Struct("<IQ")
_READ_BYTES_MAX = 1024 * 1024


class BrokenConversation(Exception):
    """What came cannot be understood, so nothing that follows can."""


class FrameStream:
    """Reads and writes frames on a descriptor, with read and write alone.

    A sandbox may forbid every other call on a socket. Used by one thread.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read_header(self) -> tuple[dict[str, Any], int] | None:
        """The next header and how many bytes of body follow; None at the end.

        `read_body` or `skip_body` has to take the body.
        """
        prefix = self._read_up_to(_PREFIX.size)
        if not prefix:
            return None
        if len(prefix) < _PREFIX.size:
            raise BrokenConversation("a frame is cut off in its first bytes")
        header_bytes, body_bytes = _PREFIX.unpack(prefix)
        if header_bytes > HEADER_BYTES_MAX or body_bytes > BODY_BYTES_MAX:
            raise BrokenConversation(
                f"a frame is too large: {header_bytes} bytes of header, "
                f"{body_bytes} of body; at most {HEADER_BYTES_MAX} and {BODY_BYTES_MAX}"
            )
        try:
            header = json.loads(self._read_exactly(header_bytes, "header"))
        except (ValueError, RecursionError) as error:
            raise BrokenConversation("the header of a frame is not JSON") from error
        if not isinstance(header, dict):
            raise BrokenConversation("the header of a frame is not a JSON object")
        return header, body_bytes

    def read_body(self, body_bytes: int) -> bytes:
        """The body that a header announced."""
        return self._read_exactly(body_bytes, "body")

    def skip_body(self, body_bytes: int) -> None:
        """Takes a body without keeping it."""
        while body_bytes > 0:
            chunk = self._read_exactly(min(body_bytes, _READ_BYTES_MAX), "body")
            body_bytes -= len(chunk)

    def write(self, header: bytes, body: bytes) -> None:
        """Writes one frame, however many calls it takes."""
        assert len(header) <= HEADER_BYTES_MAX
        head = _PREFIX.pack(len(header), len(body)) + header
        parts = [memoryview(head), memoryview(body)]
        while parts:
            written = os.writev(self._descriptor, parts)
            while parts and written >= len(parts[0]):
                written -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][written:]

    def _read_exactly(self, wanted_bytes: int, what: str) -> bytes:
        data = self._read_up_to(wanted_bytes)
        if len(data) < wanted_bytes:
            raise BrokenConversation(f"a frame is cut off in its {what}")
        return data

    def _read_up_to(self, wanted_bytes: int) -> bytes:
        """Fewer bytes than wanted only when the stream ends before."""
        chunks = []
        while wanted_bytes > 0:
            chunk = os.read(self._descriptor, min(wanted_bytes, _READ_BYTES_MAX))
            if not chunk:
                break
            chunks.append(chunk)
            wanted_bytes -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
