"""Searches the checkout for words that have no place in it."""

import json
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Written in pieces, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(?:" + "|".join(["TO" "DO", "FIX" "ME", "X" "XX"]) + r")\b")
FOREIGN_PATH = re.compile(
    "/work/" + r"(?:main|shared|\.library)\b|/home/[a-z]|/tmp/" "w/"
)
URL_HOST = re.compile(r"(?:https?|ftp)://(?:[^\s/@'\"]+@)?([\w.-]+\.[a-z]{2,})", re.I)
LOCK_FILE = "package-lock.json"  # Hashes, in which any three letters may appear.


def text_files() -> dict[str, str]:
    """Every text file that is tracked or would be, by name."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    files = {}
    for name in sorted(set(listing.stdout.decode().split("\0")) - {""}):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if b"\0" not in content[:8192]:
                files[name] = content.decode("utf-8", errors="replace")
    return files


FILES = text_files()


def lines_with(pattern: re.Pattern[str], files: dict[str, str]) -> list[str]:
    """ "FILE:LINE: TEXT" for each line that the pattern is found in."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def output_of(*command: str) -> str:
    """What a program prints; nothing when it is missing or fails."""
    try:
        return subprocess.run(
            command, cwd="/", capture_output=True, text=True, check=False, timeout=30
        ).stdout
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""


def mirror_hosts() -> set[str]:
    """Hosts of the package mirrors and proxies that this machine is set up with."""
    settings = output_of("apt-config", "dump")
    for pattern in ("sources.list", "sources.list.d/*", "mirrors/*"):
        for file in pathlib.Path("/etc/apt").glob(pattern):
            settings += file.read_text(errors="replace")
    try:
        npm = json.loads(output_of("npm", "config", "list", "--json") or "{}")
    except json.JSONDecodeError:
        npm = {}
    for name, value in npm.items():
        if name.endswith("registry") or "proxy" in name:
            settings += f"\n{value}"
    hosts = {host.lower() for host in URL_HOST.findall(settings)}
    return hosts - {"localhost"}


def test_nothing_is_left_unfinished() -> None:
    files = {name: text for name, text in FILES.items() if LOCK_FILE not in name}
    assert not lines_with(UNFINISHED, files)


def test_no_path_of_the_machine_it_was_written_on() -> None:
    assert not lines_with(FOREIGN_PATH, FILES)


def test_no_package_mirror_is_named() -> None:
    hosts = mirror_hosts()
    if not hosts:
        pytest.skip("this machine names no package mirror")
    pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(h)}" for h in hosts), re.I)
    assert not lines_with(pattern, FILES)


@pytest.mark.parametrize(
    ("pattern", "line", "found"),
    [
        (UNFINISHED, "// TO" "DO(me): later", True),
        (UNFINISHED, "mkdtemp /tmp/ncn.X" "XXXXX", False),
        (FOREIGN_PATH, "cat /work/" "main/README.md", True),
        (FOREIGN_PATH, "the sandbox mounts /work and /tmp", False),
        (FOREIGN_PATH, "input=/work/input.json", False),
        (URL_HOST, "deb http://user@mirror.example.org/debian bookworm main", True),
    ],
)
def test_tells_the_words_apart(
    pattern: re.Pattern[str], line: str, found: bool
) -> None:
    assert bool(lines_with(pattern, {"file": line})) is found


def test_finds_the_host_of_a_mirror() -> None:
    line = "deb [signed-by=/k] https://user:word@mirror.example.org:80/debian x main"
    assert URL_HOST.findall(line) == ["mirror.example.org"]
