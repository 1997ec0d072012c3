"""What a download that is killed again and again costs.

Fetches a file over loopback HTTP and kills the downloading process with SIGKILL at
`--kills` random moments, all of one and the same download, then lets it finish. The
server counts what was acknowledged, so that bytes which a killed process left unread in
its sockets count, too. The exit status is 1 when more than TARGET_SHARE of the file
went over the network twice, or what arrived is wrong.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pull_server import PROGRAM, Server, write_random_file

TARGET_SHARE = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--mib-per-second", type=int, default=100, help="0: no limit")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--folder", help="where to pull to (a new temporary folder)")
    options = parser.parse_args()
    size = options.size_mib << 20
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        target = folder / "target"
        sha256 = write_random_file(folder / "served", size)
        with Server(folder / "served", options.mib_per_second << 20) as server:
            fetch = [str(PROGRAM), "fetch", server.url, str(size), sha256]
            fetch += [str(folder / "staging"), str(target), str(options.connections)]
            killed = 0
            while killed < options.kills:
                # The next of the moments that are left, which lie anywhere in the rest.
                left = size - server.fetched_bytes()
                share = min(random.random() for _ in range(options.kills - killed))
                goal = server.fetched_bytes() + max(left, 0) * share
                process = subprocess.Popen(fetch)
                while server.fetched_bytes() < goal and process.poll() is None:
                    time.sleep(0.001)
                process.kill()
                if process.wait() == 0:
                    break  # It was done before; target and count tell.
                killed += 1
                if target.exists():
                    sys.exit("a file was visible before it was whole")
            subprocess.run(fetch, check=True, stdout=subprocess.DEVNULL)
            fetched = server.fetched_bytes()
        with target.open("rb") as file:
            right = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        leftovers = sorted(path.name for path in (folder / "staging").iterdir())
    twice = (fetched - size) / size
    figures = {
        "kills": killed,
        "size_mib": options.size_mib,
        "fetched_twice_percent": round(twice * 100, 3),
        "right": right,
        "left_in_staging": leftovers,
    }
    print(json.dumps(figures, indent=2))
    sys.exit(not right or twice > TARGET_SHARE or bool(leftovers))


if __name__ == "__main__":
    main()
