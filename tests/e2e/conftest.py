"""A real network on this machine, for tests that drive the programs as a user does.

Needs release programs in build/bin (or $NCN_BIN) and the runtime image, to both of
which `scripts/test` sees.
"""

import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("NCN_BIN", ROOT / "build" / "bin"))
START_SECONDS_MAX = 60


def environment(**changes: str) -> dict[str, str]:
    """Our environment without anything that configures a node, plus `changes`."""
    kept = ("PATH", "HOME", "NCN_CACHE_DIR", "XDG_CACHE_HOME", "RUNTIME_IMAGE")
    return {k: v for k, v in os.environ.items() if k in kept} | changes


def ncn(*arguments: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Runs one ncn command to its end."""
    return subprocess.run(
        [BIN / "ncn", *map(str, arguments)],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Network:
    """A running `ncn devnet`, and what a user asks of it."""

    def __init__(
        self,
        folder: Path,
        models: Path,
        *flags: str,
        registry: bool = False,
        **changes: str,
    ) -> None:
        self.folder = folder
        self.ready_file = folder / "gateway-address"
        self.log_path = folder / "devnet.log"
        self._log = self.log_path.open("w", encoding="utf-8")
        command = [BIN / "ncn", "devnet", "--gateway-port", "0"]
        command += ["--model-path", models, "--state-dir", folder / "state"]
        command += ["--registry"] if registry else []
        command += ["--ready-file", self.ready_file, "--", *flags]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env=environment(**changes),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        self.address = self.ready_file.read_text(encoding="utf-8").strip()

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def infer(
        self,
        model: str,
        data: bytes | Path,
        *flags: str | Path,
        name: str = "input.json",
    ) -> subprocess.CompletedProcess[str]:
        if isinstance(data, bytes):
            path = self.folder / name
            path.write_bytes(data)
        else:
            path = data
        return ncn(
            "infer",
            "--gateway-addr",
            self.address,
            "--model",
            model,
            "--input",
            path,
            *flags,
        )

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=90)
        self._log.close()
        return status


@pytest.fixture
def start_network(tmp_path: Path) -> Iterator[Callable[..., Network]]:
    """Starts networks that end, cleanly, with the test."""
    networks: list[Network] = []

    def start(
        models: Path, *flags: str, registry: bool = False, **changes: str
    ) -> Network:
        folder = tmp_path / f"network{len(networks)}"
        folder.mkdir()
        network = Network(folder, models, *flags, registry=registry, **changes)
        networks.append(network)
        network.wait_until_ready()
        return network

    yield start
    statuses = [network.stop() for network in networks]
    assert statuses == [0] * len(networks), networks[-1].log()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a registry that runs as long as the test."""
    command = [BIN / "reference_registry", "--listen", "127.0.0.1:0"]
    command += ["--http-listen", "127.0.0.1:0", "--folder", tmp_path / "registry"]
    command += ["--disk-reserve-mb", "0"]
    with subprocess.Popen(
        [str(part) for part in command],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        found = re.search(r"Registry listening on (\S+)", process.stdout.readline())
        try:
            assert found
            yield found[1]
        finally:
            process.terminate()


def write_scripted_model(models: Path, name: str, script: str) -> None:
    """A model folder whose own executor script does what a test wants."""
    folder = models / name
    folder.mkdir(parents=True)
    header = json.dumps(
        {"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
    ).encode()
    (folder / "model.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + b"\0"
    )
    (folder / "executor.py").write_text(script, encoding="utf-8")
    (folder / "model.toml").write_text(
        f'[model]\nname = "{name}"\nformat = "safetensors"\n\n'
        '[executor]\nscript = "executor.py"\n',
        encoding="utf-8",
    )


def leftovers() -> dict[str, object]:
    """What sandboxes could leave on this machine: mounts, control groups, processes."""
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"\0/executors/" in command or b"\0/model/executor.py" in command:
                processes.append(command)
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").count("\n")
    groups = sorted(
        str(p) for p in Path("/sys/fs/cgroup").glob("*/**/*ncn*") if p.is_dir()
    )
    return {"processes": sorted(processes), "mounts": mounts, "cgroups": groups}


def with_zygotes_only() -> dict[str, object]:
    """What there is when no child of the one zygote, of torch, is left."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # Going while we look.
            found = leftovers()
            if len(cast(list[bytes], found["processes"])) == 1:
                return found
        time.sleep(0.1)
    raise AssertionError(f"not one zygote: {leftovers()}")


def leftovers_settle(before: dict[str, object]) -> bool:
    """Whether all is as before once the cache's time to live, a second, is over."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # Going while we look.
            if leftovers() == before:
                return True
        time.sleep(0.1)
    return False
