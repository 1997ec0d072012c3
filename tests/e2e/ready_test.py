"""Ready sandboxes: single-use, with nothing of others in them, and observable."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import Network, ncn, write_scripted_model

REMEMBERS = """
import os
from ncn_executor import Executor, Response, main

class Remembers(Executor):
    def load(self, model_path, context):
        self._seen = 0
        open("/tmp/seen", "w").close()

    def run(self, request):
        self._seen += 1
        with open("/tmp/seen", "a") as file:
            file.write("x")
        size = os.path.getsize("/tmp/seen")
        return Response(f"{self._seen} {size} {os.getpid()}".encode(), "text/plain")

if __name__ == "__main__":
    main(Remembers)
"""

# Runs at load, as what is in an archive could: looks for what is not its own.
SPIES = """
import os
from ncn_executor import Executor, Response, main

class Spies(Executor):
    def load(self, model_path, context):
        self._found = []
        for path in ("/models-0", "/zygote", "/work/input", "/proc/2", "/dev/shm/left"):
            if os.path.exists(path):
                self._found.append(path)
        self._found += [f for f in os.listdir("/proc/self/fd") if int(f) > 4]
        self._found += os.listdir("/work") + os.listdir("/tmp")
        open("/dev/shm/left", "w").write("secret")
        open("/work/left", "w").write("secret")
        if len(os.listdir("/proc/self/task")) != 1:
            self._found.append("threads")
        # No zygote to signal, and none above.
        if os.getppid() != 0:
            self._found.append("parent")

    def run(self, request):
        return Response(repr(self._found).encode(), "text/plain")

if __name__ == "__main__":
    main(Spies)
"""


def models_of(network: Network) -> dict[str, dict[str, Any]]:
    """What `ncn models` tells, by name."""
    socket = network.folder / "state" / "control.sock"
    text = ncn("models", "list", "--json", "--control-socket", socket).stdout
    return {model["model"]: model for model in json.loads(text)}


def answer(network: Network, model: str, *arguments: str | Path) -> str:
    """The answer's bytes as text."""
    output = network.folder / "answer"
    result = network.infer(model, b"hello", "--output", output, *arguments)
    assert result.returncode == 0, result.stderr + network.log()
    return output.read_text(encoding="utf-8")


def test_each_request_has_a_sandbox_of_its_own(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "remembers", REMEMBERS)
    network = start_network(models, "--isolation", "request")
    for _ in range(4):
        assert answer(network, "remembers") == "1 1 1"


def test_code_that_runs_at_load_finds_nothing_of_others(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "spies", SPIES)
    write_scripted_model(models, "remembers", REMEMBERS)
    network = start_network(models)
    assert answer(network, "remembers") == "1 1 1"
    for _ in range(3):
        assert answer(network, "spies") == "[]"


def test_models_are_seen_to_load_and_to_go(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "remembers", REMEMBERS)
    write_scripted_model(models, "broken", "raise ValueError('no')\n")
    network = start_network(models, "--model-cache-ttl-secs", "2")
    assert models_of(network)["remembers"]["state"] == "COLD"
    answer(network, "remembers")
    deadline = time.monotonic() + 20
    seen = set()
    while "COLD" not in seen and time.monotonic() < deadline:
        seen.add(models_of(network)["remembers"]["state"])
        time.sleep(0.05)
    assert {"READY", "COLD"} <= seen


def test_a_preloaded_model_is_ready_and_a_pinned_one_stays(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "first", REMEMBERS)
    write_scripted_model(models, "kept", REMEMBERS)
    network = start_network(
        models, "--preload", "first", "--pin", "kept", "--model-cache-ttl-secs", "1"
    )
    deadline = time.monotonic() + 30
    while models_of(network)["kept"]["ready"] == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    while models_of(network)["first"]["ready"] > 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    now = models_of(network)
    assert (now["first"]["ready"], now["kept"]["ready"]) == (0, 1)


def test_the_level_of_isolation_is_the_operators_to_choose(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for name in ("a", "b"):
        write_scripted_model(models, name, REMEMBERS)
    network = start_network(
        models, "--isolation", "request", "--isolation-of", "b=cold"
    )
    for name, level in {"a": "request", "b": "cold"}.items():
        result = network.infer(name, b"hello")
        assert result.returncode == 0, result.stderr
        assert f"isolation {level}" in result.stdout + result.stderr
