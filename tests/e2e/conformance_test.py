"""A sample of ONNX's own tests through a network; scripts/conformance runs all."""

import subprocess
from pathlib import Path

from conftest import ROOT, environment

EVERY = 40


def test_what_onnxruntime_passes_passes_through_the_node(tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    folder.mkdir()
    done = subprocess.run(
        [ROOT / "tests" / "conformance" / "run", folder, str(EVERY)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed, of = done.stdout.splitlines()[0].split()[0:3:2]
    assert passed == of
    assert int(of) >= 25
