#!/usr/bin/env python3
"""Sends the requests that prepare.py made through a gateway and a node.

campaign.py FOLDER    on the host, with the programs of build/bin or $NCN_BIN

FOLDER/answers/NAME      the answer's bytes
FOLDER/answered.json     name -> "", or the failure that was the answer
"""

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("NCN_BIN", ROOT / "build" / "bin"))
TYPES = {
    "json": "application/json",
    "bin": "application/octet-stream",
    "npz": "application/x-npz",
    "safetensors": "application/x-safetensors",
}
# A node tells all its models in one message, whose lists are bounded.
MODELS_AT_ONCE = 200
AT_ONCE = 2
SECONDS_MAX = 120


def main(folder: Path) -> None:
    (folder / "answers").mkdir(exist_ok=True)
    requests = sorted((folder / "requests").iterdir())
    answered: dict[str, str] = {}
    for start in range(0, len(requests), MODELS_AT_ONCE):
        some = requests[start : start + MODELS_AT_ONCE]
        answered |= with_a_network(folder, some)
        print(f"{start + len(some)} of {len(requests)} requests", file=sys.stderr)
    (folder / "answered.json").write_text(json.dumps(answered, indent=1))


def with_a_network(folder: Path, requests: list[Path]) -> dict[str, str]:
    """Serves the models of these requests, and sends them, two at a time."""
    work = folder / "network"
    shutil.rmtree(work, ignore_errors=True)
    (work / "models").mkdir(parents=True)
    for request in requests:
        shutil.copytree(
            folder / "models" / request.stem, work / "models" / request.stem
        )
    ready = work / "address"
    command = [BIN / "ncn", "devnet", "--gateway-port", "0", "--ready-file", ready]
    command += ["--model-path", work / "models", "--state-dir", work / "state"]
    command += ["--", "--model-cache-ttl-secs", "2", "--execution-slots", AT_ONCE]
    with (work / "log").open("wb") as log:
        network = subprocess.Popen(
            [str(part) for part in command], stdout=log, stderr=log, cwd=work
        )
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while not ready.exists():
            if network.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((work / "log").read_text(errors="replace"))
            time.sleep(0.05)
        address = ready.read_text().strip()
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            said = pool.map(lambda request: infer(folder, address, request), requests)
            return dict(zip([request.stem for request in requests], said))
    finally:
        network.send_signal(signal.SIGTERM)
        network.wait(SECONDS_MAX)


def infer(folder: Path, address: str, request: Path) -> str:
    """One request to the model of its name; "" when it is answered."""
    form = request.suffix[1:]
    command = [str(BIN / "ncn"), "infer", "--gateway-addr", address]
    command += ["--model", request.stem, "--input", str(request)]
    command += ["--content-type", TYPES[form], "--accept", TYPES[form]]
    command += ["--output", str(folder / "answers" / request.stem)]
    done = subprocess.run(
        command, capture_output=True, timeout=SECONDS_MAX, check=False
    )
    said = done.stderr.decode("utf-8", "replace").strip()
    return "" if done.returncode == 0 else said[:2000] or "no answer"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
