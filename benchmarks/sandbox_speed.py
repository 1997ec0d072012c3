"""What the sandbox costs the packages that models are made of, once they run.

Runs a workload of each package in the runtime image, in the strict sandbox and outside
of it (in the same root file system, without system call filter, Landlock or limits),
taking turns. A ratio of 1 says that the sandbox costs nothing; 0.97 that work takes 3 %
longer. Both compare the best of all runs, which others on the machine disturbed least;
the ratio of CPU seconds, which decides, holds where they leave no processor free.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "benchmarks" / "sandbox_speed_work.py"
PACKAGES = ("torch", "torchaudio", "onnxruntime", "scipy", "soundfile")
TARGET = 0.97
PYTHON = ("/usr/bin/python3", "-s", "/bench/work.py")
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/work",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def output(command: list[str]) -> Any:
    result = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        sys.exit(f"Error: {' '.join(command)} failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def inside(ncn: Path, image: str, *words: str) -> Any:
    return output(
        [str(ncn), "sandbox", "run", "--image", image]
        + ["--bind", f"{WORK}:/bench/work.py", "--", *PYTHON, *words]
    )


def outside(image: str, *words: str) -> Any:
    binds: list[str] = []
    for folder in ("usr", "etc", "opt"):
        if (Path(image) / folder).is_dir():
            binds += ["--ro-bind", f"{image}/{folder}", f"/{folder}"]
    for link in ("bin", "sbin", "lib", "lib64"):
        path = Path(image) / link
        if path.is_symlink():
            binds += ["--symlink", str(path.readlink()), f"/{link}"]
    return output(
        ["bwrap", *binds, "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
        + ["--tmpfs", "/dev/shm", "--tmpfs", "/work", "--chdir", "/work"]
        + ["--ro-bind", str(WORK), "/bench/work.py", "--", *PYTHON, *words]
    )


def measure(ncn: Path, image: str, package: str, runs: int) -> dict[str, float]:
    times = str(outside(image, package, "0")["times"])
    free: list[dict[str, float]] = []
    held: list[dict[str, float]] = []
    for _ in range(runs):
        free.append(outside(image, package, times))
        held.append(inside(ncn, image, package, times))

    def best(side: list[dict[str, float]], clock: str) -> float:
        return min(run[clock] for run in side)

    return {
        "ratio_cpu": round(best(free, "cpu") / best(held, "cpu"), 3),
        "ratio_wall": round(best(free, "wall") / best(held, "wall"), 3),
        "outside_cpu_s": round(best(free, "cpu"), 3),
        "inside_cpu_s": round(best(held, "cpu"), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each package and side")
    parser.add_argument("--package", choices=PACKAGES, action="append")
    parser.add_argument("--image", help="root file system; default: the one built last")
    parser.add_argument(
        "--ncn", type=Path, default=ROOT / "build" / "bin" / "ncn", help="the program"
    )
    options = parser.parse_args()
    image = options.image
    if not image:
        build = [str(ROOT / "runtime_image" / "build"), "--print-path"]
        image = subprocess.check_output(build, text=True).strip()
    packages = {
        package: measure(options.ncn, image, package, options.runs)
        for package in options.package or PACKAGES
    }
    reached = all(figures["ratio_cpu"] >= TARGET for figures in packages.values())
    figures = {
        "runs": options.runs,
        "packages": packages,
        "target": TARGET,
        "reached": reached,
    }
    print(json.dumps(figures, indent=2))
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
