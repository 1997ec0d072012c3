"""Executors that misbehave: a typed error each, and nothing is left behind."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Network, leftovers_settle, with_zygotes_only, write_scripted_model

GOOD = """
import argparse
p = argparse.ArgumentParser()
for name in ("--model", "--input", "--output"):
    p.add_argument(name)
a = p.parse_args()
open(a.output, "wb").write(b"echo:" + open(a.input, "rb").read())
"""

HOLDS_400_MIB = GOOD + "held = [bytearray(b'x' * (1 << 20)) for _ in range(400)]\n"

SCRIPTS = {
    "crashes": ("import os\nos.abort()\n", "EXECUTOR_CRASHED"),
    "exits": ("raise SystemExit(7)\n", "exit code 7"),
    "hangs": (
        "import time\ntime.sleep(1000)\n",
        "Sandbox execution failed: Timeout after 2s",
    ),
    "garbage": (
        GOOD + 'open(a.output + ".report.json", "wb").write(b"\\x00\\xffgarbage")\n',
        "EXECUTOR_PROTOCOL",
    ),
    "nothing": ("pass\n", "EXECUTOR_PROTOCOL"),
    "too_much": (
        GOOD.replace('b"echo:"', 'b"x" * (3 << 20)'),
        "OUTPUT_TOO_LARGE",
    ),
    "flood": ("while True:\n    print('x' * 65536)\n", "Sandbox execution failed"),
    "folder": (
        GOOD + "import os\nos.unlink(a.output)\nos.mkdir(a.output)\n",
        "EXECUTOR_PROTOCOL",
    ),
    "memory": ("b = []\nwhile True:\n    b.append(bytearray(1 << 20))\n", "MEMORY"),
    "network": (
        "import socket\nsocket.socket().connect(('127.0.0.1', 1))\n",
        "EXECUTOR_CRASHED",
    ),
    "passwd": (
        "open('/etc/passwd').read()\n",
        "Landlock: Access denied to /etc/passwd",
    ),
    "ptrace": (
        "import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)\n",
        "forbidden system call ptrace(101)",
    ),
}


def test_misbehaving_executors_end_in_typed_errors(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "good", GOOD)
    for name, (script, _) in SCRIPTS.items():
        write_scripted_model(models, name, script)
    network = start_network(
        models,
        "--execution-timeout-secs",
        "2",
        "--max-memory-mb",
        "256",
        "--max-message-mb",
        "2",
        "--model-cache-ttl-secs",
        "1",
    )
    while network.infer("good", b"hello").returncode != 0:  # Zygotes may still import.
        time.sleep(0.1)
    before = with_zygotes_only()
    for name, (_, expected) in SCRIPTS.items():
        result = network.infer(name, b"hello")
        assert result.returncode != 0, name
        assert expected in result.stderr, (name, result.stderr, network.log())
    answer = network.folder / "answer"
    result = network.infer("good", b"hello", "--output", answer)
    assert result.returncode == 0, result.stderr
    assert answer.read_bytes() == b"echo:hello"
    assert leftovers_settle(before)


@pytest.mark.parametrize("level", ["request", "tenant", "rewind", "cold"])
def test_a_manifest_lowers_the_nodes_limits_at_every_level(
    start_network: Callable[..., Network], tmp_path: Path, level: str
) -> None:
    models = tmp_path / "models"
    for name, script, limits in (
        ("quick", SCRIPTS["hangs"][0], "timeout_secs = 1"),
        ("roomy", HOLDS_400_MIB, "memory_mb = 4096"),
        ("small", HOLDS_400_MIB, "memory_mb = 300"),
    ):
        write_scripted_model(models, name, script)
        with (models / name / "model.toml").open("a", encoding="utf-8") as manifest:
            manifest.write(f"\n[limits]\n{limits}\n")
    network = start_network(
        models,
        *("--isolation", level),
        *("--execution-timeout-secs", "60", "--max-memory-mb", "1024"),
    )
    result = network.infer("roomy", b"x")
    assert result.returncode == 0, result.stderr + network.log()
    result = network.infer("small", b"x")
    assert result.returncode != 0
    assert "MEMORY" in result.stderr, result.stderr + network.log()
    result = network.infer("quick", b"x")
    assert result.returncode != 0
    assert "TIMEOUT" in result.stderr, result.stderr + network.log()
    assert "Timeout after 60s" not in result.stderr


def test_secrets_and_payloads_are_never_logged(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "good", GOOD)
    write_scripted_model(
        models, "tells", "raise ValueError(open('/work/input').read())\n"
    )
    key = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
    network = start_network(
        models, COMPUTE_NODE_PRIVATE_KEY=key, COMPUTE_NODE_LOG="trace"
    )
    assert network.infer("good", b"payload-in-the-clear").returncode == 0
    assert (
        "payload-in-the-clear" in network.infer("tells", b"payload-in-the-clear").stderr
    )
    log = network.log()
    assert key not in log
    assert key[:16] not in log
    assert "payload-in-the-clear" not in log
    assert "compute_node::execution [" in log


def test_oversized_input_is_refused(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "good", GOOD)
    network = start_network(models, "--max-message-mb", "1")
    result = network.infer("good", b"x" * (2 << 20))
    assert result.returncode != 0
    assert "INPUT_TOO_LARGE" in result.stderr
    assert network.infer("good", b"x").returncode == 0


def test_a_removed_model_is_not_found_and_the_rest_is_served(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "good", GOOD)
    write_scripted_model(models, "gone", GOOD)
    network = start_network(models)
    assert network.infer("gone", b"hello").returncode == 0
    shutil.rmtree(models / "gone")
    # Whether the node or, after the next heartbeat, the gateway says so.
    assert "MODEL_NOT_FOUND" in network.infer("gone", b"hello").stderr
    assert network.infer("good", b"hello").returncode == 0


def test_an_unknown_model_is_answered_with_the_known_ones(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "good", GOOD)
    network = start_network(models)
    result = network.infer("better", b"hello")
    assert result.returncode != 0
    assert "MODEL_NOT_FOUND" in result.stderr
    assert "good" in result.stderr


def test_a_cancelled_request_leaves_no_process(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "hangs", "import time\ntime.sleep(1000)\n")
    network = start_network(models, "--model-cache-ttl-secs", "1")
    before = with_zygotes_only()
    result = network.infer("hangs", b"hello", "--timeout", "3")
    assert result.returncode != 0
    assert "TIMEOUT" in result.stderr
    assert leftovers_settle(before)
