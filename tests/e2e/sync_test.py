"""Models that come from a registry, as an operator and a publisher see them."""

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from conftest import Network, ncn, write_scripted_model

ANSWERS = """
import argparse, pathlib
parser = argparse.ArgumentParser()
for name in ("--model", "--input", "--output"):
    parser.add_argument(name)
options = parser.parse_args()
pathlib.Path(options.output).write_text('{"answer": "%s"}')
"""
WAIT_SECONDS_MAX = 30


def answer(network: Network, model: str) -> str:
    out = network.folder / "answer.json"
    done = network.infer(model, b"{}", "--output", out)
    return out.read_text() if done.returncode == 0 else done.stderr


def wait_for(what: Callable[[], bool], network: Network) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not what():
        assert time.monotonic() < deadline, network.log()
        time.sleep(0.1)


def registry_of(network: Network) -> str:
    found = re.search(r"Registry listening on (\S+)", network.log())
    assert found, network.log()
    return found[1]


def publish(network: Network, model: Path, version: str) -> None:
    done = ncn(
        "registry",
        "publish",
        model,
        "--registry-addr",
        registry_of(network),
        "--wallet",
        network.folder / "state" / "owner.key",
        "--model-version",
        version,
    )
    assert done.returncode == 0, done.stderr


def test_a_node_serves_what_its_subnet_publishes_and_follows_its_changes(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    write_scripted_model(tmp_path / "models", "speaks", ANSWERS % "first")
    network = start_network(
        tmp_path / "models", "--sync-interval-secs", "5", registry=True
    )
    assert '"first"' in answer(network, "speaks")

    write_scripted_model(tmp_path / "second", "speaks", ANSWERS % "second")
    publish(network, tmp_path / "second" / "speaks", "2")
    wait_for(lambda: '"second"' in answer(network, "speaks"), network)

    write_scripted_model(tmp_path / "further", "further", ANSWERS % "further")
    publish(network, tmp_path / "further" / "further", "1")
    wait_for(lambda: '"further"' in answer(network, "further"), network)

    folder = network.folder / "state" / "models"
    signed = network.folder / "signed.json"
    answered = network.infer("speaks", b"{}", "--save", signed)
    assert answered.returncode == 0, answered.stderr
    attestation = json.loads(json.loads(signed.read_text())["completion_validation"])
    assert attestation["message"]["executor"] == "speaks:executor.py"
    shown = json.loads(
        ncn("models", "show", "speaks", "--json", "--models-dir", folder).stdout
    )
    assert (shown["version"], shown["from"]) == ("2", "subnet 1")
    # The script is covered by the model's hash, and named.
    assert attestation["message"]["modelHash"] == "0x" + shown["sha256"]
    assert attestation["message"]["executorHash"] == "0x" + shown["sha256"]
    assert ncn("models", "verify", "--models-dir", folder).returncode == 0

    unpublished = ncn(
        "registry",
        "unpublish",
        "further",
        "--registry-addr",
        registry_of(network),
        "--wallet",
        network.folder / "state" / "owner.key",
    )
    assert unpublished.returncode == 0, unpublished.stderr
    wait_for(lambda: "No node of this gateway" in answer(network, "further"), network)


def test_a_model_that_is_put_into_the_folder_is_served_without_a_restart(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "first", ANSWERS % "first")
    network = start_network(models)
    write_scripted_model(tmp_path / "made", "second", ANSWERS % "second")
    (tmp_path / "made" / "second").rename(models / "second")
    wait_for(lambda: '"second"' in answer(network, "second"), network)
    shutil.rmtree(models / "first")
    wait_for(lambda: "No node of this gateway" in answer(network, "first"), network)


def test_a_second_process_on_the_folder_is_told_who_has_it(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    write_scripted_model(tmp_path / "models", "speaks", ANSWERS % "first")
    network = start_network(tmp_path / "models", registry=True)
    folder = network.folder / "state" / "models"
    done = ncn(
        "models",
        "pull",
        "--registry-addr",
        registry_of(network),
        "--models-dir",
        folder,
    )
    assert done.returncode == 1
    assert "synchronises" in done.stderr and "pid" in done.stderr


def test_a_registry_that_is_down_leaves_the_node_serving_what_it_has(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    write_scripted_model(tmp_path / "models", "speaks", ANSWERS % "still here")
    network = start_network(
        tmp_path / "models",
        "--sync-models",
        "--registry-addr",
        "http://127.0.0.1:1",
        "--models-dir",
        str(tmp_path / "fetched"),
    )
    assert "still here" in answer(network, "speaks")
    wait_for(lambda: "models are not synchronised" in network.log(), network)
    assert "http://127.0.0.1:1" in network.log()


def test_a_subnet_of_another_owner_is_refused(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    write_scripted_model(tmp_path / "models", "speaks", ANSWERS % "first")
    network = start_network(tmp_path / "models", registry=True)
    done = ncn(
        "models",
        "pull",
        "--registry-addr",
        registry_of(network),
        "--models-dir",
        tmp_path / "pulled",
        "--subnet-owner",
        "0x742d35Cc6634C0532925a3b844Bc454e4438f44e",
    )
    assert done.returncode == 1
    assert "0x742d35Cc6634C0532925a3b844Bc454e4438f44e" in done.stderr
    assert not list((tmp_path / "pulled").glob("[!.]*"))


def test_a_second_node_on_the_folder_serves_what_the_first_synchronises(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    write_scripted_model(tmp_path / "models", "speaks", ANSWERS % "first")
    first = start_network(
        tmp_path / "models", "--sync-interval-secs", "5", registry=True
    )
    (tmp_path / "none").mkdir()
    second = start_network(
        tmp_path / "none",
        "--sync-models",
        "--registry-addr",
        registry_of(first),
        "--models-dir",
        str(first.folder / "state" / "models"),
    )
    wait_for(lambda: "another process (pid" in second.log(), second)
    wait_for(lambda: '"first"' in answer(second, "speaks"), second)
    write_scripted_model(tmp_path / "second", "speaks", ANSWERS % "second")
    publish(first, tmp_path / "second" / "speaks", "2")
    wait_for(lambda: '"second"' in answer(second, "speaks"), second)
    assert '"second"' in answer(first, "speaks")
