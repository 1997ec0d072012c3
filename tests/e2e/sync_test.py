"""Models that come from a registry, as an operator and a publisher see them."""

import json
import os
import pty
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from conftest import BIN, Network, environment, ncn, write_scripted_model

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
    shown = json.loads(
        ncn("models", "show", "speaks", "--json", "--models-dir", folder).stdout
    )
    assert (shown["version"], shown["from"]) == ("2", "subnet 1")
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


def test_a_pull_that_is_killed_at_any_moment_completes_the_next_time(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    contents = {}
    for number in range(4):
        name = f"large{number}"
        write_scripted_model(models, name, ANSWERS % name)
        contents[name] = random.Random(number).randbytes(24 << 20)
        (models / name / "data.bin").write_bytes(contents[name])
    network = start_network(models, registry=True)
    pull = [BIN / "ncn", "models", "pull", "--registry-addr", registry_of(network)]
    pull += ["--models-dir", tmp_path / "pulled", "--download-limit", "40"]
    moments = random.Random(1)
    for _ in range(20):
        process = subprocess.Popen(
            [str(part) for part in pull],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(moments.uniform(0.02, 0.2))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for name in contents:
            visible = tmp_path / "pulled" / name / "data.bin"
            assert not visible.exists() or visible.read_bytes() == contents[name]
    done = ncn(*(str(part) for part in pull[1:]))
    assert done.returncode == 0, done.stderr
    for name, content in contents.items():
        assert (tmp_path / "pulled" / name / "data.bin").read_bytes() == content
    verified = ncn("models", "verify", "--models-dir", tmp_path / "pulled")
    assert verified.returncode == 0, verified.stdout


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


def test_downloads_are_bars_on_a_terminal_and_lines_in_a_log(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    write_scripted_model(tmp_path / "models", "large", ANSWERS % "large")
    (tmp_path / "models" / "large" / "data.bin").write_bytes(bytes(48 << 20))
    network = start_network(tmp_path / "models", registry=True)
    options = ["--registry-addr", registry_of(network), "--download-limit", "40"]
    pull: list[str | Path] = [BIN / "ncn", "models", "pull", *options]
    (tmp_path / "none").mkdir()
    node: list[str | Path] = [BIN / "compute_node", *options]
    node += ["--gateway-addr", network.address]
    node += ["--sync-models", "--model-path", tmp_path / "none"]
    node += ["--state-dir", tmp_path / "state"]
    for number, command in enumerate([pull, node]):
        shown = shown_on_terminal(
            [*command, "--models-dir", tmp_path / f"fetched{number}"],
            lambda text: "large" in text and "installed" in text,
        )
        bars = re.findall(r"^total +\[#+-*\] .* of 48\.0 MiB \(\d+ %\)", shown, re.M)
        assert bars, shown
        assert "\x1b[" in shown
    log = ncn(*pull[1:], "--models-dir", tmp_path / "again").stderr
    assert "\x1b" not in log and "[#" not in log


def shown_on_terminal(
    command: list[str | Path], is_enough: Callable[[str], bool]
) -> str:
    """What a command writes to a terminal until that is enough; then it is to end."""
    screen, program = pty.openpty()
    process = subprocess.Popen(
        [str(part) for part in command],
        env=environment(TERM="xterm"),
        stdout=subprocess.DEVNULL,
        stderr=program,
    )
    os.close(program)
    text = ""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not is_enough(text) and time.monotonic() < deadline:
        try:
            text += os.read(screen, 4096).decode(errors="replace")
        except OSError:  # The process has ended.
            break
    process.terminate()
    process.wait(WAIT_SECONDS_MAX)
    os.close(screen)
    return text
