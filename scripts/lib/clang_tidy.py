#!/usr/bin/env python3
"""Runs clang-tidy over src/ and apps/, several files at once.

A file is looked at again only when it, a header of ours that it includes, its
compile command or .clang-tidy changed since it was last found clean; what was found
clean is remembered in build/tidy/. Tests are left to the compilers' warnings: the
macros of GoogleTest set off most checks.

Usage: scripts/lib/clang_tidy.py BUILD_FOLDER JOBS
"""

import concurrent.futures
import hashlib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLEAN = ROOT / "build" / "tidy"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def own_headers(source: pathlib.Path, seen: set[pathlib.Path]) -> set[pathlib.Path]:
    """The source and every header of the checkout that it reaches."""
    if source in seen or not source.is_file():
        return seen
    seen.add(source)
    for name in INCLUDE.findall(source.read_text(encoding="utf-8")):
        own_headers(ROOT / "src" / name, seen)
        own_headers(source.parent / name, seen)
    return seen


def fingerprint(source: pathlib.Path, command: str) -> str:
    """What decides whether clang-tidy would say the same again."""
    digest = hashlib.sha256(command.replace(str(ROOT), "").encode())
    for file in [ROOT / ".clang-tidy", *sorted(own_headers(source, set()))]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def check(source: pathlib.Path, command: str, build: pathlib.Path) -> str:
    """What clang-tidy found in one file; nothing when it is clean."""
    mark = CLEAN / fingerprint(source, command)
    if mark.exists():
        return ""
    tidy = subprocess.run(
        # The commands are those of g++, some of whose warnings clang does not know.
        [
            *("clang-tidy", "-p", str(build), "--quiet"),
            *("--extra-arg=-Wno-unknown-warning-option", str(source)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if tidy.returncode == 0 and "error:" not in tidy.stdout:
        mark.write_text(f"{source.relative_to(ROOT)}\n", encoding="utf-8")
        return ""
    # The counts of suppressed warnings on standard error say nothing by themselves.
    return tidy.stdout or tidy.stderr


def main() -> int:
    """Checks every file, prints what was found, returns the exit status."""
    build, jobs = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2])
    database = build / "compile_commands.json"
    if not database.is_file():
        print(f"{database} is missing. Run scripts/build first.")
        return 1
    CLEAN.mkdir(parents=True, exist_ok=True)
    commands = {
        pathlib.Path(entry["file"]): entry["command"]
        for entry in json.loads(database.read_text(encoding="utf-8"))
    }
    # With no database entry of its own, clang-tidy would guess a file's flags.
    sources = [
        source
        for folder in ("src", "apps")
        for source in sorted((ROOT / folder).rglob("*.cc"))
        if source in commands and not source.name.endswith("_test.cc")
    ]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        unclean = 0
        for report in pool.map(lambda s: check(s, commands[s], build), sources):
            if report.strip():
                unclean += 1
                print(report.strip() + "\n", flush=True)
    print(f"{len(sources) - unclean} of {len(sources)} files are clean.")
    return 1 if unclean or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
