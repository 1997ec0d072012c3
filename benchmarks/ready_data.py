"""The runtime image, and the models and inputs that are made in it."""

import subprocess
import sys
import tempfile
from pathlib import Path

from ready_contenders import ENVIRONMENT, ROOT, image_command, sha256


def find_image() -> Path:
    """The root file system of the runtime image."""
    build = [str(ROOT / "runtime_image" / "build"), "--print-path"]
    found = subprocess.run(build, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        sys.exit(f"Error: there is no runtime image: {found.stderr.strip()}")
    return Path(found.stdout.strip())


def make_models(image: Path) -> Path:
    """The folder of ready_models.py, made once for this image and this recipe."""
    recipe = (ROOT / "benchmarks" / "ready_models.py").read_bytes()
    key = sha256(recipe + str(image).encode())[:16]
    folder = ROOT / "build" / "ready_models" / key
    if folder.is_dir():
        return folder
    print("making the models", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix="partial."))
    command = image_command(
        image, "--tmpfs", "/work", "--bind", str(partial), "/work/out"
    )
    command += ["/usr/bin/python3", "-s", "-W", "ignore"]
    command += ["/app/benchmarks/ready_models.py", "/work/out"]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"Error: the models cannot be made:\n{done.stderr[-2000:]}")
    return partial.rename(folder)
