"""Downloads of a subnet's models: killed, shown, counted."""

import json
import os
import pty
import random
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import BIN, Network, environment, ncn, write_scripted_model
from counting_server import CountingServer
from sync_test import ANSWERS, WAIT_SECONDS_MAX, registry_of, wait_for


def test_a_pull_that_is_killed_at_any_moment_completes_and_fetches_little_twice(
    registry: str, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    contents = {}
    for number, mib in enumerate([128, 1, 128, 1]):
        name = f"model{number}"
        write_scripted_model(models, name, ANSWERS % name)
        contents[name] = random.Random(number).randbytes(mib << 20)
        (models / name / "data.bin").write_bytes(contents[name])
    size = sum(path.stat().st_size for path in models.glob("*/*"))
    owner = tmp_path / "owner.key"
    assert ncn("wallet", "new", "--file", owner).returncode == 0
    at = ("--registry-addr", registry)
    pull = ["models", "pull", *at, "--models-dir", str(tmp_path / "pulled")]
    chance = random.Random(1)
    kills = 0
    right: set[str] = set()
    with CountingServer(models, 80 << 20) as server:
        for name in contents:
            source = ("--source", f"{server.url}/{name}")
            published = ncn(
                "models", "push", models / name, *source, *at, "--wallet", owner
            )
            assert published.returncode == 0, published.stderr
        while kills < 20:
            # The next of the moments that are left, which lie anywhere in the rest.
            left = max(size - server.sent_bytes, 0)
            share = min(chance.random() for _ in range(20 - kills))
            goal = server.sent_bytes + int(left * share)
            process = subprocess.Popen(
                [BIN / "ncn", *pull],
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            while server.sent_bytes < goal and process.poll() is None:
                time.sleep(0.001)
            server.freeze()
            process.kill()
            process.wait()
            server.disconnect()
            kills += 1
            for name in contents.keys() - right:
                visible = tmp_path / "pulled" / name / "data.bin"
                if visible.exists():
                    assert visible.read_bytes() == contents[name]
                    right.add(name)
        done = ncn(*pull)
        assert done.returncode == 0, done.stderr
    twice = server.sent_bytes - size
    for name, content in contents.items():
        assert (tmp_path / "pulled" / name / "data.bin").read_bytes() == content
    verified = ncn("models", "verify", "--models-dir", tmp_path / "pulled")
    assert verified.returncode == 0, verified.stdout
    assert twice <= size * 2 / 100


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


def test_the_statistics_of_a_node_follow_its_downloads(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    write_scripted_model(tmp_path / "models", "large", ANSWERS % "large")
    size = 24 << 20
    (tmp_path / "models" / "large" / "data.bin").write_bytes(bytes(size))
    network = start_network(tmp_path / "models", registry=True)
    state = tmp_path / "state"
    (tmp_path / "none").mkdir()
    command: list[str | Path] = [BIN / "compute_node", "--sync-models"]
    command += ["--registry-addr", registry_of(network), "--download-limit", "6"]
    command += ["--gateway-addr", network.address, "--model-path", tmp_path / "none"]
    command += ["--models-dir", tmp_path / "fetched", "--state-dir", state]
    socket = ("--control-socket", state / "control.sock")
    with subprocess.Popen(
        [str(part) for part in command],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        seen: list[int] = []

        def sync_state() -> dict[str, Any]:
            done = ncn("stats", "--json", *socket)
            if done.returncode != 0:  # It has only just started.
                return {"total": {"present_bytes": 0}, "models": []}
            return dict(json.loads(done.stdout)["subnet"]["sync"])

        def look() -> bool:
            sync = sync_state()
            total = sync["total"]
            if 0 < total["present_bytes"] < total["size_bytes"]:
                assert total["size_bytes"] > size
                assert any(file["name"] == "large/data.bin" for file in sync["files"])
                seen.append(total["present_bytes"])
            return len(set(seen)) >= 3 and total["bytes_per_second"] > 0

        wait_for(look, network)
        assert seen == sorted(seen)
        assert re.search(r"now: .* of 24\.0 MiB", ncn("stats", *socket).stdout)
        wait_for(lambda: bool(sync_state()["models"]), network)
        sync = sync_state()
        assert sync["counts"]["fetched_bytes"] == sum(
            path.stat().st_size for path in (tmp_path / "models" / "large").iterdir()
        )
        assert sync["counts"]["fetched_files"] == 4
        assert sync["total"]["size_bytes"] == 0
        text = ncn("stats", *socket).stdout
        assert "1 of 1 models are in order" in text and "24.0 MiB fetched" in text
        process.terminate()
        assert process.wait(WAIT_SECONDS_MAX) == 0


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
