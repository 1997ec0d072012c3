"""How long a killed node's sandboxes outlive it.

Starts a program that holds `--count` sandboxes, each with a sleeper in it, kills that
program with SIGKILL, and measures the time until the launcher, every mini-init and
every sleeper are gone, and until their control groups are.
"""

import argparse
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = (
    Path(__file__).resolve().parents[1] / "build/release/benchmarks/sandbox_benchmark"
)
TARGET_SECONDS = 1.0
PATIENCE_SECONDS = 30.0


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            found[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    return found


def descendants(root: int) -> list[int]:
    """Every process below `root`."""
    above = parents()
    below, fresh = [], [root]
    while fresh:
        fresh = [pid for pid, parent in above.items() if parent in fresh]
        below += fresh
    return below


def control_groups(pid: int) -> list[str]:
    """The control groups of the node `pid`."""
    groups = []
    for folder, folders, _ in os.walk("/sys/fs/cgroup"):
        groups += [
            os.path.join(folder, name)
            for name in folders
            if f"/ncn-{pid}-" in os.path.join(folder, name)
        ]
    return groups


def wait_until_gone(pidfds: list[int], deadline: float) -> int:
    """Waits until the processes ended; returns how many have not by the deadline."""
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    left = len(pidfds)
    while left and time.perf_counter() < deadline:
        for pidfd, _ in poll.poll(100):
            poll.unregister(pidfd)
            left -= 1
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--program", type=Path, default=PROGRAM, help=argparse.SUPPRESS)
    options = parser.parse_args()

    node = subprocess.Popen(
        [options.program, "hold", str(options.count)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert node.stdout is not None
    if node.stdout.readline() != "ready\n":
        sys.exit("Error: the sandboxes could not be started; the reason is above.")
    pids = descendants(node.pid)
    # The launcher, then a mini-init and a sleeper each.
    if len(pids) < 1 + 2 * options.count:
        sys.exit(f"Error: only {len(pids)} processes were started.")
    pidfds = [os.pidfd_open(pid) for pid in pids]
    begun = time.perf_counter()
    node.kill()
    left = wait_until_gone(pidfds, begun + PATIENCE_SECONDS)
    processes_gone = time.perf_counter() - begun
    node.wait()
    while groups := control_groups(node.pid):
        if time.perf_counter() > begun + PATIENCE_SECONDS:
            break
    groups_gone = time.perf_counter() - begun
    clean = not left and not groups and processes_gone <= TARGET_SECONDS
    figures = {
        "sandboxes": options.count,
        "processes": len(pids),
        "processes_gone_s": round(processes_gone, 3),
        "control_groups_gone_s": round(groups_gone, 3),
        "processes_left": left,
        "control_groups_left": groups,
        "target_s": TARGET_SECONDS,
        "reached": clean,
    }
    print(json.dumps(figures, indent=2))
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
