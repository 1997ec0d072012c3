"""Level "rewind": one process answers request after request, remembering none."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Network, write_scripted_model
from ready_test import REMEMBERS, answer

# Each request leaves something wherever a script can, and tells what it finds.
LEAVES = """
import builtins, gc, json, os, random, re, sys, types
from ncn_executor import Executor, Response, main

class Cycle:
    pass

class Leaves(Executor):
    def load(self, model_path, context):
        self._born = os.urandom(8).hex()
        self._seen = 0

    def run(self, request):
        secret = "left" + "behind"
        found = {
            "attribute": self._seen > 0,
            "class": hasattr(Leaves, secret),
            "module": hasattr(sys, secret),
            "modules": secret in sys.modules,
            "environment": secret in os.environ,
            "builtins": hasattr(builtins, secret),
            "default": Leaves.run.__kwdefaults__ is not None,
            "regular expressions": any(secret in key for key in re._cache),
            "uncollected": any(type(o) is Cycle for o in gc.get_objects()),
            "argument list": secret in sys.argv,
            "path": secret in sys.path,
            "recursion limit": sys.getrecursionlimit() == 7777,
            "interval": sys.getswitchinterval() > 5,
        }
        self._seen += 1
        setattr(Leaves, secret, 1)
        setattr(sys, secret, 1)
        sys.modules[secret] = types.ModuleType(secret)
        os.environ[secret] = "1"
        setattr(builtins, secret, 1)
        Leaves.run.__kwdefaults__ = {"request": None}
        re.compile(secret)
        cycle = Cycle()
        cycle.self = cycle
        sys.argv.append(secret)
        sys.path.append(secret)
        sys.setrecursionlimit(7777)
        sys.setswitchinterval(7)
        word = {"born": self._born, "found": [k for k, v in found.items() if v],
                "random": random.random()}
        return Response(json.dumps(word).encode(), "text/plain")

if __name__ == "__main__":
    main(Leaves)
"""


def client_key(folder: Path, byte: str) -> Path:
    """A key file whose key is this byte again and again."""
    path = folder / f"client-{byte}.key"
    path.write_text(byte * 32 + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_one_process_answers_and_remembers_nothing(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "leaves", LEAVES)
    network = start_network(models, "--isolation", "rewind")
    words = [json.loads(answer(network, "leaves")) for _ in range(12)]
    assert [word["found"] for word in words] == [[]] * 12
    assert len({word["born"] for word in words}) < 12, "no process answered twice"
    assert (
        len({word["random"] for word in words}) == 12
    ), "requests draw the same numbers"
    result = network.infer("leaves", b"hello")
    assert "isolation rewind" in result.stdout + result.stderr


def test_what_it_leaves_is_found_in_a_process_that_is_shared(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "leaves", LEAVES)
    network = start_network(models, "--isolation", "tenant")
    alice, bob = client_key(tmp_path, "11"), client_key(tmp_path, "22")
    words: dict[Path, list[dict[str, Any]]] = {alice: [], bob: []}
    for _ in range(6):
        for key, found in words.items():
            found.append(json.loads(answer(network, "leaves", "--pay-with", key)))
    for found in words.values():
        assert max(len(word["found"]) for word in found) == 13, words
        # Whoever comes for the first time finds nothing.
        assert found[0]["found"] == [], words
    result = network.infer("leaves", b"hello", "--pay-with", alice)
    assert "isolation tenant" in result.stdout + result.stderr
    # Of a client that is not known there is no same one.
    assert json.loads(answer(network, "leaves"))["found"] == []


def test_a_tenants_process_serves_as_many_requests_as_told(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "leaves", LEAVES)
    network = start_network(
        models, "--isolation", "tenant", "--tenant-requests-max", "2"
    )
    key = client_key(tmp_path, "11")
    words = [json.loads(answer(network, "leaves", "--pay-with", key)) for _ in range(6)]
    # One that has served before finds what it left.
    served = Counter(word["found"] == [] for word in words)
    assert served == {True: 3, False: 3}, words


def test_what_cannot_be_undone_ends_the_process(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "remembers", REMEMBERS)
    network = start_network(models, "--isolation", "rewind")
    for _ in range(4):
        assert answer(network, "remembers") == "1 1 1"
    assert "what cannot be undone: system call" in network.log()


@pytest.mark.parametrize("level", ["request", "rewind", "tenant"])
def test_further_sandboxes_are_made_from_the_first(
    start_network: Callable[..., Network], tmp_path: Path, level: str
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "leaves", LEAVES)
    options = ("--isolation", level, "--ready-min", "3", "--log", "debug")
    network = start_network(models, *options, "--preload", "leaves")
    words = [json.loads(answer(network, "leaves")) for _ in range(8)]
    made = re.compile(r"child \d+ made from another")
    deadline = time.monotonic() + 20
    while not made.search(network.log()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert made.search(network.log()), network.log()
    assert (
        len({word["random"] for word in words}) == 8
    ), "siblings draw the same numbers"
    if level != "tenant":
        assert [word["found"] for word in words] == [[]] * 8
