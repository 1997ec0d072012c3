"""Requests lose nothing when what answers them is killed at random."""

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import Network, ncn, write_scripted_model
from spies_test import Asked

REQUESTS = 200
CLIENTS = 3
SECONDS_BETWEEN_KILLS = 0.2
ZYGOTES_IN_KILLS = 10  # One of so many is a zygote.

# Long enough that children are killed under requests, too.
REVERSES = """
import time
from ncn_executor import Executor, Response, main

class Reverses(Executor):
    def load(self, model_path, context):
        self._load = "loaded"

    def run(self, request):
        time.sleep(0.05)
        return Response(request.data[::-1] + self._load.encode(), "text/plain")

if __name__ == "__main__":
    main(Reverses)
"""


def parents() -> dict[int, int]:
    """The parent of each process of this machine."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            found[int(entry.name)] = int(text.rpartition(")")[2].split()[1])
    return found


def sandboxes_of(node: int) -> tuple[list[int], list[int]]:
    """The zygotes below a process, and their children: of what runs zygote.py the
    ones whose ancestors do not, and the others."""
    above = parents()

    def ancestors(pid: int) -> Iterator[int]:
        while (pid := above.get(pid, 0)) > 1:
            yield pid

    zygotes: list[int] = []
    children: list[int] = []
    python = set()
    for pid in above:
        with contextlib.suppress(OSError):
            if b"/executors/zygote.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                python.add(pid)
    for pid in python:
        over = list(ancestors(pid))
        if node not in over:
            continue
        (children if python & set(over) else zygotes).append(pid)
    return zygotes, children


class Killer(threading.Thread):
    """Kills a child or a zygote of a node again and again."""

    def __init__(self, node: int) -> None:
        super().__init__()
        self._node = node
        self._random = random.Random(7)
        self._over = threading.Event()
        self.killed = {"zygote": 0, "child": 0}

    def run(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_KILLS):
            zygotes, children = sandboxes_of(self._node)
            kind = "zygote" if not self._random.randrange(ZYGOTES_IN_KILLS) else "child"
            victims = zygotes if kind == "zygote" else children
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._random.choice(victims), signal.SIGKILL)
                    self.killed[kind] += 1

    def stop(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.parametrize("level", ["request", "tenant"])
def test_no_request_is_lost_when_sandboxes_are_killed(
    start_network: Callable[..., Network], tmp_path: Path, level: str
) -> None:
    models = tmp_path / "models"
    for name in ("a", "b"):
        write_scripted_model(models, name, REVERSES)
    network = start_network(models, "--isolation", level)
    assert Asked(network, "a", "warm").answer() == "mrawloaded"

    def ask(number: int) -> bool:
        word = f"request {number} {os.urandom(8).hex()}"
        model = "ab"[number // 8 % 2]
        return Asked(network, model, word).answer() == word[::-1] + "loaded"

    killer = Killer(network.process.pid)
    killer.start()
    try:
        with ThreadPoolExecutor(CLIENTS) as clients:
            answered = list(clients.map(ask, range(REQUESTS // 2)))
    finally:
        killer.stop()
    assert all(answered)
    assert killer.killed["zygote"] > 0 and killer.killed["child"] > 2, killer.killed
    # The zygote is back without a request, and a child with it.
    deadline = time.monotonic() + 30
    socket = network.folder / "state" / "control.sock"
    while True:
        text = ncn("models", "--json", "--control-socket", socket).stdout
        if all(model["ready"] > 0 for model in json.loads(text)):
            break
        assert time.monotonic() < deadline, text + network.log()
        time.sleep(0.1)
