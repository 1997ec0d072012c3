"""Holds every shell script to the house's form."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES_MAX = 100


def shell_scripts() -> list[str]:
    """Shell scripts by their first line or name: programs, and files to source."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    found = []
    for name in sorted(set(listing.stdout.decode().split("\0")) - {""}):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                first = file.readline(200)
            shebang = first.startswith(b"#!") and first.split()[-1].endswith(b"sh")
            if shebang or path.suffix == ".sh":
                found.append(name)
    return found


SCRIPTS = shell_scripts()


@pytest.mark.parametrize("name", SCRIPTS)
def test_is_short_and_strict(name: str) -> None:
    text = (ROOT / name).read_text()
    assert len(text.splitlines()) < LINES_MAX, "split it"
    if text.startswith("#!"):
        assert text.startswith("#!/usr/bin/env bash\n")
        assert "\nset -euo pipefail\n" in text
    else:
        assert "# shellcheck shell=bash" in text, "a file to source names its shell"
        assert "ourced" in text, "a file to source says so"


@pytest.mark.parametrize("name", SCRIPTS)
def test_is_a_program_when_it_has_a_first_line(name: str) -> None:
    starts_a_program = (ROOT / name).read_text().startswith("#!")
    assert os.access(ROOT / name, os.X_OK) == starts_a_program


def test_finds_this_projects_scripts() -> None:
    assert "scripts/setup" in SCRIPTS
    assert "runtime_image/build" in SCRIPTS
