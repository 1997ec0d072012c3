"""What `ncn models` and `ncn registry` print, for people and as JSON."""

import contextlib
import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import Network, ncn, write_scripted_model
from sync_test import ANSWERS, registry_of

OWNER = "owner.key"


def said(*arguments: str | Path) -> str:
    """What a command prints when it succeeds."""
    done = ncn(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(*arguments: str | Path) -> Any:
    """The same with --json, parsed."""
    return json.loads(said(*arguments, "--json"))


def test_models_of_a_folder_are_listed_shown_and_removed_without_a_node(
    tmp_path: Path,
) -> None:
    models = tmp_path / "models"
    write_scripted_model(models, "mine", ANSWERS % "mine")
    folder = ("--models-dir", models)
    listing = ("models", "list", *folder, "--control-socket", tmp_path / "none.sock")
    (listed,) = told(*listing)
    shown = told("models", "show", "mine", *folder)
    assert listed["model"] == "mine"
    assert listed["format"] == shown["format"] == "safetensors"
    assert listed["sha256"] == shown["sha256"]
    assert listed["size_bytes"] == shown["size_bytes"]
    files = {file["path"]: file for file in shown["files"]}
    assert sorted(files) == ["executor.py", "model.safetensors", "model.toml"]
    for path, file in files.items():
        content = (models / "mine" / path).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["size_bytes"] == len(content)
    lines = said(*listing).splitlines()
    columns = "MODEL STATE VERSION FORMAT LEVEL SIZE SHA256"
    assert lines[0].split()[:7] == columns.split()
    assert listed["sha256"][:12] in lines[1]
    text = said("models", "show", "mine", *folder)
    assert files["executor.py"]["sha256"] in text and "this machine" in text
    assert told("models", "verify", *folder) == [
        {"model": "mine", "ok": True, "problem": ""}
    ]

    refused = ncn("models", "rm", "mine", "--json", *folder)
    assert refused.returncode == 1 and "--force" in refused.stderr
    assert json.loads(refused.stdout)[0]["outcome"] == "failed"
    assert (models / "mine").exists()
    (removed,) = told("models", "rm", "mine", "--force", *folder)
    assert (removed["model"], removed["outcome"]) == ("mine", "deleted")
    assert not (models / "mine").exists()
    assert ncn("models", "rm", "mine", *folder).returncode == 1


def test_a_subnet_is_created_filled_pulled_and_cleaned_up(
    registry: str, tmp_path: Path
) -> None:
    at = ("--registry-addr", registry)
    owner = tmp_path / OWNER
    said("wallet", "new", "--file", owner)
    address = said("wallet", "address", "--file", owner).strip()
    created = told("registry", "create", *at, "--wallet", owner, "--name", "test net")
    assert (created["owner"], created["version"]) == (address, 1)
    write_scripted_model(tmp_path / "made", "speaks", ANSWERS % "first")
    push = ("models", "push", tmp_path / "made" / "speaks", *at, "--wallet", owner)
    pushed = told(*push, "--model-version", "one")
    assert [model["model"] for model in pushed["models"]] == ["speaks"]
    shown = told("registry", "show", *at)
    assert (shown["version"], shown["signed"]) == (pushed["version"], True)
    assert all(file["sources"] for file in shown["models"][0]["files"])
    assert "test net" in said("registry", "show", *at)
    assert "(signature verified)" in said("registry", "show", *at)
    (subnet,) = told("registry", "list", *at)
    assert (subnet["name"], subnet["version"]) == ("test net", 2)
    assert address in said("registry", "list", *at)
    assert told("registry", "nodes", *at) == []
    assert "ADDRESS" in said("registry", "nodes", *at)

    folder = ("--models-dir", tmp_path / "pulled")
    (outcome,) = told("models", "pull", *at, *folder)
    assert (outcome["outcome"], outcome["version"]) == ("installed", "one")
    listing = ("models", "list", *folder, "--control-socket", tmp_path / "none.sock")
    (listed,) = told(*listing)
    assert listed["version"] == "one"
    assert re.search(r"^speaks +- +one +safetensors", said(*listing), re.M)
    (removed,) = told("models", "rm", "speaks", *folder)
    assert removed["outcome"] == "removed"
    collect = ("models", "gc", *folder)
    # It may still be in use elsewhere; five minutes later it is not.
    assert told(*collect)["freed_bytes"] == 0
    with contextlib.closing(
        sqlite3.connect(tmp_path / "pulled" / ".ncn" / "sync.sqlite")
    ) as database:
        database.execute("UPDATE retired SET retired = retired - 1000")
        database.commit()
    would = told(*collect, "--dry-run")
    assert would == {"freed_bytes": listed["size_bytes"], "dry_run": True}
    assert "would be deleted" in said(*collect, "--dry-run")
    assert told(*collect) == {"freed_bytes": listed["size_bytes"], "dry_run": False}
    assert told(*collect)["freed_bytes"] == 0
    (outcome,) = told("models", "pull", *at, *folder)
    assert outcome["outcome"] == "installed"


def test_nodes_are_announced_with_their_models(
    start_network: Callable[..., Network], tmp_path: Path
) -> None:
    write_scripted_model(tmp_path / "models", "speaks", ANSWERS % "first")
    network = start_network(tmp_path / "models", registry=True)
    at = ("--registry-addr", registry_of(network))
    (node,) = told("registry", "nodes", *at, "--model", "speaks")
    assert (node["models"], node["subnet_id"]) == (["speaks"], 1)
    assert node["address"] in said("registry", "nodes", *at)
    assert told("registry", "nodes", *at, "--model", "other") == []
    folder = network.folder / "state" / "models"
    (listed,) = told(
        "models", "list", "--control-socket", folder.parent / "control.sock"
    )
    shown = told("models", "show", "speaks", "--models-dir", folder)
    assert listed["sha256"] == shown["sha256"]
    assert listed["version"] == shown["version"] == "1"
