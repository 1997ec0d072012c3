"""The programs by themselves: what they print and refuse, how they start and end."""

import re
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BIN, Network, environment, ncn, write_scripted_model
from executors_test import GOOD

KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


def node(*arguments: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "compute_node", *map(str, arguments)],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def closed_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_start_up_lines_are_those_of_the_specification(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "bark_coarse", GOOD)
    write_scripted_model(models, "bark_semantic", GOOD)
    network = start_network(models, COMPUTE_NODE_PRIVATE_KEY=KEY)
    lines = [
        line.split(" | ", 1)[1]
        for line in network.log().splitlines()
        if "node  " in line
    ]
    expected = [
        "Starting Compute Node...",
        "Loading wallet from environment...",
        f"✓ Wallet initialized: {ADDRESS[:10]}...",
        f"Connecting to Gateway at {network.address}...",
        "✓ Connected to Gateway",
        '✓ Registered with supported models: ["bark_coarse", "bark_semantic"]',
        "✓ Compute Node ready for tasks",
    ]
    assert [line for line in lines if line in expected] == expected, network.log()


def test_an_unreachable_gateway_is_the_specifications_error(
    tmp_path: Path, closed_port: int
) -> None:
    address = f"http://127.0.0.1:{closed_port}"
    result = node(
        "--gateway-addr", address, "--state-dir", tmp_path, "--model-path", tmp_path
    )
    assert result.returncode == 1
    assert f"Error: Failed to connect to Gateway at {address}\n" in result.stderr


def test_a_generated_wallet_is_private_and_kept(
    tmp_path: Path, closed_port: int
) -> None:
    address = f"http://127.0.0.1:{closed_port}"
    runs = [
        node(
            "--gateway-addr", address, "--state-dir", tmp_path, "--model-path", tmp_path
        )
        for _ in range(2)
    ]
    assert "development only" in runs[0].stdout + runs[0].stderr
    wallets = [re.search(r"Wallet initialized: (\S+)", run.stdout) for run in runs]
    assert wallets[0] and wallets[1] and wallets[0][1] == wallets[1][1]
    assert stat.S_IMODE((tmp_path / "wallet.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"COMPUTE_NODE_PRIVATE_KEY": "not-a-key"}, "COMPUTE_NODE_PRIVATE_KEY"),
        ({"COMPUTE_NODE_PRIVATE_KEY": "00" * 32}, "COMPUTE_NODE_PRIVATE_KEY"),
        (
            {
                "COMPUTE_NODE_PRIVATE_KEY": KEY,
                "NODE_WALLET_ADDRESS": "0x0000000000000000000000000000000000000001",
            },
            "NODE_WALLET_ADDRESS",
        ),
        ({"SANDBOX_MODE": "loose"}, "SANDBOX_MODE"),
        ({"COMPUTE_NODE_LOG": "compute_node=loud"}, "compute_node=loud"),
        ({"PYTHON_EXECUTOR_PATH": "/nowhere"}, "PYTHON_EXECUTOR_PATH"),
    ],
)
def test_unusable_settings_name_themselves(
    tmp_path: Path, changes: dict[str, str], expected: str
) -> None:
    result = node(
        "--gateway-addr", "http://127.0.0.1:1", "--state-dir", tmp_path, **changes
    )
    assert result.returncode != 0
    assert expected in result.stderr, result.stderr
    assert KEY not in result.stdout + result.stderr
    assert "not-a-key" not in result.stdout + result.stderr


def test_unknown_flags_come_with_a_hint() -> None:
    result = node("--gateway-adr", "x")
    assert result.returncode == 2
    assert "did you mean --gateway-addr?" in result.stderr


@pytest.mark.parametrize("program", ["compute_node", "reference_gateway", "ncn"])
def test_help_and_version(program: str) -> None:
    for flag, pattern in (
        ("--help", "Usage"),
        ("--version", rf"^{program} \d+\.\d+\.\d+\n$"),
    ):
        result = subprocess.run(
            [BIN / program, flag],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert re.search(pattern, result.stdout), result.stdout


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = subprocess.run(
            [BIN / "reference_gateway", "--listen", f"127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert result.returncode == 1
    assert "Error: " in result.stderr
    assert str(port) in result.stderr


def test_sigterm_drains_and_prints_the_statistics(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "good", GOOD)
    network = start_network(models)
    assert network.infer("good", b"hello").returncode == 0
    socket_path = network.folder / "state" / "control.sock"
    stats = ncn("stats", "--json", "--control-socket", socket_path)
    assert stats.returncode == 0, stats.stderr
    assert '"total": 1' in stats.stdout
    assert "good" in ncn("stats", "--control-socket", socket_path).stdout
    network.process.send_signal(signal.SIGTERM)
    assert network.process.wait(timeout=60) == 0
    assert "Executions in" in network.log()


def test_two_nodes_on_one_state_folder_are_refused(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "good", GOOD)
    network = start_network(models)
    state = network.folder / "state"
    result = node(
        "--gateway-addr", network.address, "--state-dir", state, "--model-path", models
    )
    assert result.returncode == 1
    assert "another compute_node" in result.stderr


def test_wallet_commands_never_show_the_key(tmp_path: Path) -> None:
    file = tmp_path / "wallet.key"
    assert ncn("wallet", "new", "--file", file).returncode == 0
    key = file.read_text().strip()
    assert ncn("wallet", "new", "--file", file).returncode == 1
    assert file.read_text().strip() == key
    shown = ncn("wallet", "show", "--file", file)
    address = ncn("wallet", "address", "--file", file)
    assert re.fullmatch(r"0x[0-9a-fA-F]{40}\n", address.stdout)
    assert address.stdout.strip() in shown.stdout
    for result in (shown, address):
        assert key.removeprefix("0x") not in result.stdout + result.stderr
    file.chmod(0o644)
    refused = ncn("wallet", "show", "--file", file)
    assert refused.returncode == 1
    assert "chmod 600" in refused.stderr
