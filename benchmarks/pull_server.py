"""A large file and the server of it, for the benchmarks of downloads."""

import hashlib
import os
import subprocess
from pathlib import Path
from types import TracebackType

PROGRAM = (
    Path(__file__).resolve().parents[1] / "build/release/benchmarks/pull_benchmark"
)
CHUNK_BYTES = 1 << 20


def write_random_file(path: Path, size: int) -> str:
    """Writes `size` random bytes; returns their SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for begin in range(0, size, CHUNK_BYTES):
            chunk = os.urandom(min(CHUNK_BYTES, size - begin))
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


class Server:
    """Serves one file over HTTP on this machine while it is entered."""

    def __init__(self, path: Path, bytes_per_second: int = 0) -> None:
        self.process = subprocess.Popen(
            [str(PROGRAM), "serve", str(path), str(bytes_per_second)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = f"http://127.0.0.1:{self._line()}/file"

    def _line(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def fetched_bytes(self) -> int:
        """All that clients have fetched, or are about to, so far."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return self._line()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate()
