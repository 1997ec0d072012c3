"""A gateway and a node of their own, which ready.py asks through `ncn bench`."""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ready_contenders import BURST, ROOT, Input, Trouble, tree_cpu_ms

BIN = ROOT / "build" / "bin"
LISTENING, READY = "Gateway listening on ", "Compute Node ready for tasks"
PRELOAD_SECONDS = 4.0
SETTLE_SECONDS_MAX, SETTLED_SECONDS = 10.0, 0.1


class Network:
    """One gateway and one node, which keeps one model ready."""

    def __init__(self, models: Path, model: str) -> None:
        self._model = model
        self._state = tempfile.TemporaryDirectory()
        self._processes: list[subprocess.Popen[str]] = []
        try:
            gateway = self._start("reference_gateway", "--listen", "127.0.0.1:0")
            self._address = self._wait_for(gateway, LISTENING)
            node = self._start(
                *("compute_node", "--gateway-addr", self._address),
                *("--state-dir", self._state.name, "--model-path", str(models)),
                *("--preload", model, "--ready-min", str(2 * BURST)),
            )
            self._wait_for(node, READY)
        except BaseException:
            self.close()
            raise
        time.sleep(PRELOAD_SECONDS)

    def burst(self, request: Input) -> dict[str, Any]:
        """What `ncn bench` tells of a few requests, the first with the connection."""
        command = [str(BIN / "ncn"), "bench", "--json", "--requests", str(BURST)]
        command += ["--gateway-addr", self._address, "--model", self._model]
        command += ["--input", str(request.path)]
        command += ["--content-type", request.content_type]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Trouble(f"ncn bench: {done.stderr.strip()[:300]}")
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def settle(self) -> None:
        """Waits until nothing of it computes."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < deadline:
            before = self._cpu_ms()
            time.sleep(SETTLED_SECONDS)
            if self._cpu_ms() - before <= 10:
                return

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self._state.cleanup()

    def _cpu_ms(self) -> float:
        return sum(tree_cpu_ms(process.pid) for process in self._processes)

    def _start(self, program: str, *options: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [str(BIN / program), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._processes.append(process)
        return process

    @staticmethod
    def _wait_for(process: "subprocess.Popen[str]", marker: str) -> str:
        """Reads lines until one holds the marker; returns what follows it."""
        assert process.stdout is not None
        for line in process.stdout:
            if marker in line:
                return line.split(marker, 1)[1].strip()
        raise Trouble(f"{process.args!r:.80} ended without '{marker}'")
