"""The virtual-environment way, and what each sandbox mode says of itself."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Network, write_scripted_model
from executors_test import GOOD


@pytest.fixture
def executors_with_environment(tmp_path: Path) -> Path:
    """The executor scripts beside a virtual environment of this machine's Python."""
    folder = tmp_path / "executors"
    shutil.copytree(
        ROOT / "python_executors", folder, ignore=shutil.ignore_patterns("venv")
    )
    subprocess.run(
        ["/usr/bin/python3", "-m", "venv", "--without-pip", folder / "venv"], check=True
    )
    for (
        parent
    ) in folder.parents:  # pytest's own folders are closed to the sandbox's user
        if parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
        else:
            break
    return folder


@pytest.mark.parametrize("mode", ["strict", "permissive", "disabled"])
def test_a_virtual_environment_serves_in_every_mode(
    start_network: Callable[..., Network],
    executors_with_environment: Path,
    tmp_path: Path,
    mode: str,
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "good", GOOD)
    network = start_network(
        models,
        SANDBOX_MODE=mode,
        PYTHON_EXECUTOR_PATH=str(executors_with_environment),
    )
    answer = network.folder / "answer"
    result = network.infer("good", b"hello", "--output", answer)
    assert result.returncode == 0, result.stderr + network.log()
    assert answer.read_bytes() == b"echo:hello"
    assert f"sandbox   {mode}, isolation cold" in result.stdout
    assert (mode == "strict") == (f"SANDBOX_MODE={mode}" not in network.log())
