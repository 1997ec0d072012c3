"""What a hostile model can find of a request that runs at the same time: nothing."""

import contextlib
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import BIN, Network, environment, write_scripted_model
from ready_test import models_of
from rewind_test import client_key

# Keeps what it was asked wherever a model can, and is long about it.
VICTIM = """
import json, os, time
from ncn_executor import Executor, Response, main

class Victim(Executor):
    def load(self, model_path, context):
        self._seen = []

    def run(self, request):
        marker = request.data.decode()
        for folder in ("/work", "/tmp", "/dev/shm"):
            with open(folder + "/kept", "w") as file:
                file.write(marker)
        os.environ["KEPT"] = marker
        before = list(self._seen)
        self._seen.append(marker)
        time.sleep(15)
        return Response(json.dumps([marker, before]).encode(), "text/plain")

if __name__ == "__main__":
    main(Victim)
"""

# Looks for it at load, as what is in an archive could, and once more when it is asked.
SEARCHES = """
import contextlib, json, os, re
from ncn_executor import Executor, Response, main

MARKER = re.compile(b"MARK" + b"-[0-9a-f]{32}")
CHUNK = 1 << 20

class Searches(Executor):
    def load(self, model_path, context):
        self._found, self._bytes = set(), 0
        # That the search can find something: this is in the memory of this process.
        self._own = "CANA" + "RY-" + os.urandom(16).hex()
        self._canary = re.compile(b"CANA" + b"RY-[0-9a-f]{32}")
        self._canaries = 0
        self._everywhere()

    def run(self, request):
        self._everywhere()
        return Response(json.dumps({
            "found": sorted(self._found), "bytes": self._bytes,
            "canaries": self._canaries,
            "models": [p for p in ("/models", "/models-0", "/zygote")
                       if os.path.exists(p)],
        }).encode(), "text/plain")

    def _look(self, where, data):
        self._bytes += len(data)
        self._canaries += len(self._canary.findall(data))
        if MARKER.search(data):
            self._found.add(where)

    def _everywhere(self):
        names = [name for name in self._names("/proc") if name.isdigit()]
        for name in ["self", *names, *map(str, range(1, 64))]:
            with contextlib.suppress(OSError):
                self._memory(name)
            for file in ("environ", "cmdline", "stack", "auxv"):
                self._file(f"/proc/{name}/{file}")
            for folder in ("fd", "cwd", "root/work", "root/tmp", "root/dev/shm",
                           "root/models"):
                self._folder(f"/proc/{name}/{folder}")
        for folder in ("/models", "/work", "/tmp", "/dev/shm", "/model", "/zygote",
                       "/run", "/var/tmp", "/proc/self/fd"):
            self._folder(folder)

    def _memory(self, process):
        with open(f"/proc/{process}/maps") as file:
            lines = file.readlines()
        with open(f"/proc/{process}/mem", "rb", 0) as memory:
            for line in lines:
                place, rights = line.split()[:2]
                if "r" not in rights or "[vvar" in line or "[vsyscall" in line:
                    continue
                at, end = (int(word, 16) for word in place.split("-"))
                with contextlib.suppress(OSError):
                    while at < end:
                        memory.seek(at)
                        data = memory.read(min(CHUNK, end - at))
                        self._look(f"memory of {process}", data)
                        at += max(len(data) - 64, 1) if end - at > CHUNK else end - at

    def _file(self, path):
        with contextlib.suppress(OSError):
            # A pipe or a socket may have nothing to say.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            with contextlib.closing(os.fdopen(descriptor, "rb", 0)) as file:
                while data := file.read(CHUNK):
                    self._look(path, data)

    def _folder(self, folder):
        self._look(folder, "".join(self._names(folder)).encode())
        for place, _, files in os.walk(folder):
            for name in files:
                self._file(os.path.join(place, name))

    def _names(self, folder):
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                yield name
                with contextlib.suppress(OSError):
                    yield os.readlink(os.path.join(folder, name))

if __name__ == "__main__":
    main(Searches)
"""

# Says nonsense to whoever listens at any descriptor, its own node's end included.
SCRIBBLES = """
import contextlib, os
from ncn_executor import Executor, Response, main

class Scribbles(Executor):
    def load(self, model_path, context):
        for descriptor in range(256):
            with contextlib.suppress(OSError):
                os.set_blocking(descriptor, False)
                os.write(descriptor, b"\\xff" * 4096)

    def run(self, request):
        return Response(b"not reached", "text/plain")

if __name__ == "__main__":
    main(Scribbles)
"""

# Calls that no model needs: process_vm_readv, ptrace, kill of all, pidfd_open.
FORBIDDEN = """
import ctypes
from ncn_executor import Executor, Response, main

class Forbidden(Executor):
    def load(self, model_path, context):
        self._answer = ctypes.CDLL(None, use_errno=True).syscall({call})

    def run(self, request):
        return Response(str(self._answer).encode(), "text/plain")

if __name__ == "__main__":
    main(Forbidden)
"""
CALLS = {
    "reads": "310, 1, 0, 0, 0, 0, 0",
    "traces": "101, 16, 1, 0, 0",
    "opens": "434, 1, 0",
    "takes": "438, 0, 0, 0",
}


class Asked:
    """A request that goes on in the background."""

    def __init__(self, network: Network, model: str, data: str, *flags: str | Path):
        self._output = network.folder / f"{model}-{secrets.token_hex(4)}"
        path = network.folder / f"{self._output.name}.input"
        path.write_text(data, encoding="utf-8")
        command = [BIN / "ncn", "infer", "--gateway-addr", network.address]
        command += ["--model", model, "--input", path, "--output", self._output]
        self._process = subprocess.Popen(
            [str(part) for part in (*command, *flags)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def answer(self) -> str:
        said, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, said
        return self._output.read_text(encoding="utf-8")


@contextlib.contextmanager
def busy_victim(network: Network, key: Path) -> Iterator[tuple[str, Asked]]:
    """A victim that is at work all the time, and the marker that it keeps."""
    marker = "MARK-" + secrets.token_hex(16)
    asked = Asked(network, "victim", marker, "--pay-with", key)
    deadline = time.monotonic() + 20
    while models_of(network)["victim"]["busy"] == 0:
        assert time.monotonic() < deadline, network.log()
        time.sleep(0.02)
    yield marker, asked
    assert models_of(network)["victim"]["busy"] == 1, "the victim was too quick"


def search(network: Network, key: Path) -> None:
    """Lets the hostile model search, and expects nothing."""
    word: dict[str, Any] = json.loads(
        Asked(network, "searches", "x", "--pay-with", key).answer()
    )
    assert word["found"] == []
    assert word["canaries"] > 0, "the search finds nothing at all"
    assert word["bytes"] > 1 << 20
    assert word["models"] == []


@pytest.mark.parametrize("level", ["request", "tenant"])
def test_a_hostile_model_finds_nothing_of_a_request_beside_it(
    start_network: Callable[..., Network], tmp_path: Path, level: str
) -> None:
    models = tmp_path / "models"
    scripts = {"victim": VICTIM, "searches": SEARCHES, "scribbles": SCRIBBLES}
    scripts |= {name: FORBIDDEN.format(call=call) for name, call in CALLS.items()}
    for name, script in scripts.items():
        write_scripted_model(models, name, script)
    network = start_network(models, "--isolation", level, "--execution-slots", "2")
    alice, mallory = client_key(tmp_path, "11"), client_key(tmp_path, "22")
    with busy_victim(network, alice) as (marker, victim):
        search(network, mallory)
        if level == "tenant":
            search(network, mallory)  # In the process that it has had before.
        result = network.infer("scribbles", b"x", "--pay-with", mallory)
        assert result.returncode != 0
        assert "EXECUTOR_PROTOCOL" in result.stderr, result.stderr
        for name in CALLS:
            # Either the call fails, or it ends the process that makes it.
            output = tmp_path / f"{name}.answer"
            flags = ("--pay-with", mallory, "--output", output)
            result = network.infer(name, b"x", *flags)
            if result.returncode == 0:
                assert output.read_text(encoding="utf-8") == "-1", name
            else:
                assert "FORBIDDEN_SYSTEM_CALL" in result.stderr, (name, result.stderr)
    assert json.loads(victim.answer()) == [marker, []]
    # The victim's process may still be there, and waits for its own client.
    search(network, mallory)
    with busy_victim(network, mallory) as (other, victim):
        pass
    assert json.loads(victim.answer()) == [other, []]
