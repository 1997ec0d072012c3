"""How fast a file is pulled over loopback HTTP and verified.

The contenders take turns, `--runs` times: the project's downloader, with one connection
and with several, which hashes while it fetches and ends with a file that is on disk;
and `curl -o` followed by `sha256sum`, or by OpenSSL, which do not wait for the disk.
The exit status is 1 when the downloader's median takes more than TARGET_RATIO of that
of curl and sha256sum, or its memory peaks above TARGET_MIB.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pull_server import PROGRAM, Server, write_random_file

TARGET_RATIO = 0.75
TARGET_MIB = 64


class Pulls:
    """The ways to pull one file."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size
        self.sha256 = write_random_file(folder / "served", size)
        self.target = folder / "target"
        self.url = ""
        self.peak_kib = 0

    def downloader(self, connections: int) -> None:
        """The project's own."""
        process = subprocess.Popen(
            [str(PROGRAM), "fetch", self.url, str(self.size), self.sha256]
            + [str(self.folder / "staging"), str(self.target), str(connections)],
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit("the downloader failed")
        self.peak_kib = max(self.peak_kib, usage.ru_maxrss)

    def curl(self, *hasher: str) -> None:
        """curl, then the hash of what it wrote."""
        subprocess.run(["curl", "-sS", "-o", self.target, self.url], check=True)
        printed = subprocess.run(
            [*hasher, str(self.target)], check=True, capture_output=True, text=True
        ).stdout
        if self.sha256 not in printed:
            sys.exit("curl fetched something else")

    def timed(self, pull: Callable[[], None]) -> float:
        """Seconds that a pull takes, onto a disk that has nothing else to do."""
        self.target.unlink(missing_ok=True)
        os.sync()
        begun = time.perf_counter()
        pull()
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--folder", help="where to pull to (a new temporary folder)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        pulls = Pulls(Path(name), options.size_mib << 20)
        contenders: dict[str, Callable[[], None]] = {
            "downloader, 1 connection": lambda: pulls.downloader(1),
            "downloader, 4 connections": lambda: pulls.downloader(4),
            "curl, then sha256sum": lambda: pulls.curl("sha256sum"),
            "curl, then openssl dgst": lambda: pulls.curl("openssl", "dgst", "-sha256"),
        }
        seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
        with Server(pulls.folder / "served") as server:
            pulls.url = server.url
            for _ in range(options.runs):
                for contender, pull in contenders.items():
                    seconds[contender].append(pulls.timed(pull))
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    ratio = medians["downloader, 4 connections"] / medians["curl, then sha256sum"]
    peak_mib = pulls.peak_kib / 1024
    figures = {
        "size_mib": options.size_mib,
        "runs": options.runs,
        "seconds_median": {key: round(value, 3) for key, value in medians.items()},
        "seconds_min": {key: round(min(values), 3) for key, values in seconds.items()},
        "time_ratio": round(ratio, 3),
        "peak_memory_mib": round(peak_mib, 1),
    }
    print(json.dumps(figures, indent=2))
    sys.exit(ratio > TARGET_RATIO or peak_mib > TARGET_MIB)


if __name__ == "__main__":
    main()
