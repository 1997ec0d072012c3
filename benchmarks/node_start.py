"""How long the node takes to start, and what it costs while it idles.

Starts a gateway, then the node against it `--runs` times: from exec to the line that it
is ready. The last node then idles for `--idle-seconds`; its resident memory and CPU
time are the kernel's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(__file__).resolve().parents[1] / "build" / "bin"
READY = "Compute Node ready for tasks"
LISTENING = "Gateway listening on "


def wait_for(process: subprocess.Popen[str], marker: str) -> str:
    """Reads lines until one holds the marker; returns what follows it."""
    assert process.stdout is not None
    for line in process.stdout:
        if marker in line:
            return line.split(marker, 1)[1].strip()
    sys.exit(f"the program ended without '{marker}'")


def start(*command: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--idle-seconds", type=float, default=30)
    parser.add_argument("--model-path", default="models", help="folder of the models")
    options = parser.parse_args()

    gateway = start(BIN / "reference_gateway", "--listen", "127.0.0.1:0")
    address = wait_for(gateway, LISTENING)
    times = []
    with tempfile.TemporaryDirectory() as state:
        node = None
        for _ in range(options.runs):
            if node is not None:
                node.terminate()
                node.wait()
            begun = time.perf_counter()
            node = start(
                BIN / "compute_node",
                *("--gateway-addr", address, "--state-dir", state),
                *("--model-path", options.model_path),
            )
            wait_for(node, READY)
            times.append((time.perf_counter() - begun) * 1000)
        assert node is not None
        before = cpu_seconds(node.pid)
        time.sleep(options.idle_seconds)
        share = (cpu_seconds(node.pid) - before) / options.idle_seconds
        memory = resident_mib(node.pid)
        node.terminate()
        node.wait()
    gateway.terminate()
    gateway.wait()
    figures = {
        "ready_ms_median": round(statistics.median(times), 1),
        "ready_ms_max": round(max(times), 1),
        "idle_resident_mib": round(memory, 1),
        "idle_cpu_percent_of_a_core": round(share * 100, 3),
        "runs": options.runs,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
