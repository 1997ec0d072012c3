"""What whoever waits hears of a request that runs."""

import re
from collections.abc import Callable
from pathlib import Path

from conftest import Network, write_scripted_model

COUNTS = """
import time
from ncn_executor import Executor, Response, main

class Counts(Executor):
    def load(self, model_path, context):
        self._context = context

    def run(self, request):
        end = time.monotonic() + 2
        words = ""
        while time.monotonic() < end:
            done = 1 - (end - time.monotonic()) / 2
            words = "word " * int(10 * done)
            partial = Response(words.encode(), "text/plain")
            self._context.progress(done, "counting", partial)
        return Response(b"done", "text/plain")

if __name__ == "__main__":
    main(Counts)
"""

# Speaks frames by itself, as no executor does.
HOSTILE = """
import json, os, struct
from ncn_executor import Executor, Response, main

class Hostile(Executor):
    def load(self, model_path, context):
        pass

    def run(self, request):
        how = json.loads(request.data)
        header = json.dumps({"status": "progress", **how["word"]}).encode()
        frame = struct.pack("<IQ", len(header), how["bytes"]) + header
        frame += bytes(how["bytes"])
        for _ in range(how["times"]):
            sent = 0
            while sent < len(frame):
                sent += os.write(0, frame[sent:])
        return Response(b"done", "text/plain")

if __name__ == "__main__":
    main(Hostile)
"""


def test_progress_reaches_whoever_waits(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "counts", COUNTS)
    network = start_network(models)
    result = network.infer("counts", b"x", "--progress")
    assert result.returncode == 0, result.stderr
    told = re.findall(r"([\d.]+) %  counting  ((?:word )+)", result.stderr)
    assert len(told) >= 3, result.stderr
    fractions = [float(fraction) for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert len(told) <= 8


def test_a_hostile_executor_cannot_tell_more_than_is_allowed(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "hostile", HOSTILE)
    network = start_network(models, "--execution-timeout-secs", "3")
    refused = {
        '{"word": {"fraction": 2}, "bytes": 0, "times": 1}': "EXECUTOR_PROTOCOL",
        '{"word": {"fraction": "x"}, "bytes": 0, "times": 1}': "EXECUTOR_PROTOCOL",
        '{"word": {}, "bytes": 65537, "times": 1}': "EXECUTOR_PROTOCOL",
        '{"word": {}, "bytes": 65536, "times": 10000000}': "TIMEOUT",
    }
    for data, kind in refused.items():
        result = network.infer("hostile", data.encode())
        assert result.returncode != 0, data
        assert kind in result.stderr, (data, result.stderr)
    many = b'{"word": {"note": "n"}, "bytes": 10, "times": 2000}'
    result = network.infer("hostile", many, "--progress")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("RUNNING") <= 20, result.stderr
