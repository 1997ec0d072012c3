"""Models that come, change and go while the node runs, without a restart."""

import functools
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Network, ncn, write_scripted_model

SECONDS_MAX = 30

SAYS = """
import time
from ncn_executor import Executor, Response, main

class Says(Executor):
    def load(self, model_path, context):
        pass

    def run(self, request):
        time.sleep({sleep})
        return Response(b"{word}", "text/plain")

if __name__ == "__main__":
    main(Says)
"""


def says(word: str, sleep: float = 0) -> str:
    return SAYS.format(word=word, sleep=sleep)


def offered(network: Network) -> list[str]:
    """The models that the gateway offers, as it tells who asks for another."""
    error = network.infer("no-such-model", b"hello").stderr
    assert "MODEL_NOT_FOUND" in error, error
    found = re.search(r"Supported models: (.*)", error)
    return found.group(1).strip().split(", ") if found else []


def count(network: Network, state: str) -> int:
    """The sandboxes of the only model that are in a state."""
    socket = network.folder / "state" / "control.sock"
    text = ncn("models", "list", "--json", "--control-socket", socket).stdout
    return int(json.loads(text)[0][state])


def until(network: Network, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, network.log()
        time.sleep(0.02)


def answer(network: Network, model: str) -> str:
    output = network.folder / f"answer-{threading.get_ident()}"
    result = network.infer(model, b"hello", "--output", output)
    assert result.returncode == 0, result.stderr + network.log()
    return output.read_text(encoding="utf-8")


def answers(network: Network, model: str, word: str) -> bool:
    return answer(network, model) == word


def replace(models: Path, name: str, script: str) -> None:
    """An orderly replacement: the new tree is renamed into the old one's place."""
    write_scripted_model(models / ".staging", name, script)
    retired = models / ".staging" / "retired"
    os.rename(models / name, retired)
    os.rename(models / ".staging" / name, models / name)
    shutil.rmtree(retired)


@pytest.mark.parametrize("isolation", ["request", "cold"])
def test_models_come_change_and_go(
    start_network: Callable[..., Network], tmp_path: Path, isolation: str
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    network = start_network(models, "--isolation", isolation)
    assert offered(network) == []

    write_scripted_model(models / ".staging", "m", says("one"))
    os.rename(models / ".staging" / "m", models / "m")
    until(network, lambda: offered(network) == ["m"])
    assert answer(network, "m") == "one"

    replace(models, "m", says("two"))
    assert answer(network, "m") == "two"
    until(network, lambda: "model m replaced" in network.log())

    shutil.rmtree(models / "m")
    until(network, lambda: offered(network) == [])
    result = network.infer("m", b"hello")
    assert result.returncode != 0
    log = network.log()
    for line in ("model m added", "model m replaced", "model m removed"):
        assert line in log
    assert '✓ Registered with supported models: ["m"]' in log


def test_the_folder_of_models_may_come_later_and_be_another(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    network = start_network(models)
    for word in ("first", "second"):
        write_scripted_model(tmp_path / word, "m", says(word))
        if models.exists():
            os.rename(models, tmp_path / "old")
        os.rename(tmp_path / word, models)
        until(network, lambda: offered(network) == ["m"])
        until(network, functools.partial(answers, network, "m", word))
    assert "no ready sandbox" not in network.log()


def test_a_request_ends_on_the_model_that_it_began_with(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "m", says("old", sleep=3))
    network = start_network(models)
    until(network, lambda: offered(network) == ["m"])
    heard: list[str] = []
    request = threading.Thread(target=lambda: heard.append(answer(network, "m")))
    request.start()
    until(network, lambda: count(network, "busy") == 1)
    replace(models, "m", says("new"))
    assert answer(network, "m") == "new"
    request.join()
    assert heard == ["old"]


def test_writing_into_a_model_spoils_no_answer(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "m", says("old", sleep=3))
    network = start_network(models, "--pin", "m")
    until(network, lambda: count(network, "ready") == 1)
    heard: list[str] = []
    request = threading.Thread(target=lambda: heard.append(answer(network, "m")))
    request.start()
    until(network, lambda: count(network, "busy") == 1)
    (models / "m" / "executor.py").write_text(says("new"), encoding="utf-8")
    request.join()
    assert heard == ["new"]
    assert "changed since it was verified" in network.log()


def test_a_touched_model_goes_on_being_served(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "m", says("same"))
    network = start_network(models)
    for _ in range(3):
        assert answer(network, "m") == "same"
        (models / "m" / "model.safetensors").touch()
    assert answer(network, "m") == "same"


def test_two_folders_are_one_store(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models, synced = tmp_path / "models", tmp_path / "synced"
    write_scripted_model(models, "a", says("a"))
    write_scripted_model(models, "both", says("both"))
    write_scripted_model(synced, "b", says("b"))
    write_scripted_model(synced, "both", says("both"))
    network = start_network(models, "--models-dir", str(synced))
    until(network, lambda: offered(network) == ["a", "b"])
    assert [answer(network, name) for name in ("a", "b")] == ["a", "b"]
    assert "more than once" in network.log()
    shutil.rmtree(synced / "both")
    until(network, lambda: offered(network) == ["a", "b", "both"])
    assert answer(network, "both") == "both"
