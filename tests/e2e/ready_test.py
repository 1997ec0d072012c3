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

LOADS_BY = """
import time
from ncn_executor import Executor, Response, main

class Loads(Executor):
    def load(self, model_path, context):
        {statement}

    def run(self, request):
        return Response(b"not reached", "text/plain")

if __name__ == "__main__":
    main(Loads)
"""
HANGS = LOADS_BY.format(statement="time.sleep(1000)")
BROKEN = LOADS_BY.format(statement="raise ValueError('no good')")


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


def test_models_are_seen_to_load_and_to_go(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "remembers", REMEMBERS)
    network = start_network(models, "--model-cache-ttl-secs", "2")
    assert models_of(network)["remembers"]["state"] == "COLD"
    answer(network, "remembers")
    deadline = time.monotonic() + 20
    seen = set()
    while "COLD" not in seen and time.monotonic() < deadline:
        seen.add(models_of(network)["remembers"]["state"])
        time.sleep(0.05)
    assert {"READY", "COLD"} <= seen


def test_a_model_that_cannot_be_loaded_is_quarantined(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "broken", BROKEN)
    write_scripted_model(models, "remembers", REMEMBERS)
    network = start_network(models)
    # Each failure doubles the pause, until it is longer than our look takes.
    for _ in range(4):
        assert network.infer("broken", b"hello").returncode != 0
        entry = models_of(network)["broken"]
        if entry["state"] == "QUARANTINED":
            break
    assert entry["state"] == "QUARANTINED"
    assert entry["reason"]
    assert 0 < entry["retry_after_ms"] <= 60_000
    # In words, too; and nobody else suffers.
    socket = network.folder / "state" / "control.sock"
    listed = ncn("models", "--control-socket", socket).stdout
    assert "QUARANTINED" in listed
    assert "tried again in" in listed
    assert answer(network, "remembers") == "1 1 1"


def test_a_load_that_takes_too_long_names_its_own_limit(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "hangs", HANGS)
    write_scripted_model(models, "remembers", REMEMBERS)
    network = start_network(
        models, "--model-load-timeout-secs", "1", "--execution-slots", "1"
    )
    refused = network.infer("hangs", b"hello")
    assert refused.returncode != 0
    assert "TIMEOUT" in refused.stderr
    assert "MODEL_LOAD_TIMEOUT_SECS" in refused.stderr
    assert "EXECUTION_TIMEOUT_SECS" not in refused.stderr
    assert answer(network, "remembers") == "1 1 1"


def test_a_load_that_hangs_keeps_no_other_model_waiting(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "hangs", HANGS)
    write_scripted_model(models, "remembers", REMEMBERS)
    network = start_network(models, "--execution-slots", "1", "--preload", "hangs")
    deadline = time.monotonic() + 30
    while models_of(network)["hangs"]["state"] != "LOADING":
        assert time.monotonic() < deadline, network.log()
        time.sleep(0.05)
    for _ in range(3):
        assert answer(network, "remembers", "--timeout", "20") == "1 1 1"
    assert models_of(network)["hangs"]["state"] == "LOADING"


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
    assert (now["first"]["pinned"], now["kept"]["pinned"]) == (False, True)


def test_the_level_of_isolation_is_the_operators_to_choose(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for name in ("a", "b"):
        write_scripted_model(models, name, REMEMBERS)
    network = start_network(
        models, "--isolation", "request", "--isolation-of", "b=cold"
    )
    listed = models_of(network)
    for name, level in {"a": "request", "b": "cold"}.items():
        assert listed[name]["isolation"] == level
        result = network.infer(name, b"hello")
        assert result.returncode == 0, result.stderr
        assert f"isolation {level}" in result.stdout + result.stderr
