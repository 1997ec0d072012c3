#!/usr/bin/env python3
"""Runs clang-tidy over src/ and apps/, several files at once.

A file is looked at again only when it, a header of ours that it includes, its
compile command or .clang-tidy changed since it was last found clean. What was found
clean is remembered outside the checkout, as ccache does, for all clones and the next
run: in $XDG_CACHE_HOME/ncn/tidy, ~/.cache/ncn/tidy by default. Tests are left to the
compilers' warnings: the macros of GoogleTest set off most checks.

A file takes ten seconds and more. With MINUTES, those that find no time are named and
are no failure; the next run begins with them, as it passes over the clean ones.

Usage: scripts/lib/clang_tidy.py BUILD_FOLDER JOBS [MINUTES]
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
CLEAN = CACHE / "ncn" / "tidy"
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


def check(
    source: pathlib.Path, command: str, build: pathlib.Path, end: float
) -> str | None:
    """What clang-tidy found in one file; nothing when it is clean; None after the end,
    a time of time.monotonic()."""
    mark = CLEAN / fingerprint(source, command)
    if mark.exists():
        return ""
    if time.monotonic() >= end:
        return None
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
    minutes = float(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
    end = time.monotonic() + 60 * minutes
    unclean, unseen = 0, []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for source, report in zip(
            sources,
            pool.map(lambda s: check(s, commands[s], build, end), sources),
            strict=True,
        ):
            if report is None:
                unseen.append(str(source.relative_to(ROOT)))
            elif report.strip():
                unclean += 1
                print(report.strip() + "\n", flush=True)
    if unseen:
        print(f"no time left for {len(unseen)} files: " + " ".join(unseen))
    clean = len(sources) - unclean - len(unseen)
    print(f"{clean} of {len(sources)} files are clean.")
    return 1 if unclean or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
