#!/usr/bin/env python3
"""Checks the Python packages of this environment against requirements.txt.

python3 verify_environment.py [--json] [--all] [--requirements FILE]

Exit status 0 when every package is there in a wanted version, 1 when not, 2
when requirements.txt cannot be read. Packages that requirements.txt marks
`# optional` are shown, but only count with --all.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

PYTHON_MIN = (3, 11)
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;]*)(?:;.*)?")
_CLAUSE = re.compile(r"(~=|===?|!=|<=|>=|<|>)\s*([0-9A-Za-z.!+*-]+)")
_PHASES = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1}


@dataclasses.dataclass(frozen=True)
class Requirement:
    """One line: a package and which versions will do, as in `>=2.1,<3`."""

    name: str
    wanted: str
    optional: bool


@dataclasses.dataclass(frozen=True)
class Finding:
    """What this environment has of one requirement."""

    name: str
    wanted: str
    found: str
    status: str
    optional: bool


def parse_requirements(text: str) -> list[Requirement]:
    """Reads the lines of a requirements file; raises ValueError on a bad one."""
    requirements = []
    for number, line in enumerate(text.splitlines(), 1):
        wanted, _, comment = line.partition("#")
        if not wanted.strip():
            continue
        match = _LINE.fullmatch(wanted.strip())
        clauses = [c.strip() for c in match[2].split(",") if c.strip()] if match else []
        if match is None or not all(_CLAUSE.fullmatch(clause) for clause in clauses):
            raise ValueError(f"line {number} is no requirement: {line.strip()[:80]}")
        optional = comment.strip().lower().startswith("optional")
        requirements.append(Requirement(match[1], ",".join(clauses), optional))
    return requirements


def version_key(version: str) -> tuple[tuple[int, ...], int, int]:
    """Orders versions as PEP 440 does: 2.0rc1 < 2.0 = 2.0+local < 2.0.post1."""
    public = version.lower().split("+", 1)[0].split("!")[-1]
    match = re.match(r"v?(\d+(?:\.\d+)*)[._-]?([a-z]+)?[._-]?(\d+)?", public)
    if match is None:
        return (), 0, 0
    release = tuple(int(part) for part in match[1].split("."))
    while len(release) > 1 and release[-1] == 0:
        release = release[:-1]
    phase = 1 if match[2] in ("post", "rev", "r") else _PHASES.get(match[2] or "", 0)
    return release, phase, int(match[3] or 0)


def satisfies(found: str, wanted: str) -> bool:
    """Whether a version meets every clause, all of them joined by commas."""
    return all(_meets(found, clause) for clause in wanted.split(",") if clause)


def _meets(found: str, clause: str) -> bool:
    """One clause."""
    match = _CLAUSE.fullmatch(clause.strip())
    if match is None:
        raise ValueError(f"no version clause: {clause}")
    operator, wanted = match[1], match[2]
    if wanted.endswith(".*"):
        same = (found + ".").startswith(wanted[:-1])
        return same if operator == "==" else not same
    here, there = version_key(found), version_key(wanted)
    if operator == "~=":
        # ~=2.1.3 means >=2.1.3 and ==2.1.*
        parts = wanted.split(".")[:-1]
        return here >= there and found.split(".")[: len(parts)] == parts
    compare: dict[str, bool] = {
        "==": here == there,
        "===": found == wanted,
        "!=": here != there,
        "<=": here <= there,
        ">=": here >= there,
        "<": here < there,
        ">": here > there,
    }
    return compare[operator]


def installed_version(name: str) -> str:
    """The version of a package, "" when it is missing; imports nothing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def check(
    requirements: Sequence[Requirement],
    version_of: Callable[[str], str] = installed_version,
) -> list[Finding]:
    """Looks for every requirement, and for a new enough Python."""
    least = ".".join(map(str, PYTHON_MIN))
    rows = [Requirement("python", f">={least}", False), *requirements]
    findings = []
    for row in rows:
        is_python = row.name == "python"
        found = platform.python_version() if is_python else version_of(row.name)
        if not found:
            status = "missing"
        elif satisfies(found, row.wanted):
            status = "ok"
        else:
            status = "too old" if ">" in row.wanted else "wrong version"
        findings.append(Finding(row.name, row.wanted, found, status, row.optional))
    return findings


def table(findings: Sequence[Finding]) -> str:
    """The findings in columns."""
    rows = [("package", "wanted", "found", "")]
    for finding in findings:
        note = f"{finding.status} (optional)" if finding.optional else finding.status
        rows.append((finding.name, finding.wanted or "any", finding.found or "-", note))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row in rows:
        cells = [row[column].ljust(widths[column]) for column in range(3)]
        lines.append("  ".join([*cells, row[3]]).rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, or JSON, and says what to do about a miss."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--all", action="store_true", help="count optional ones too")
    parser.add_argument(
        "--requirements",
        type=Path,
        default=Path(__file__).resolve().with_name("requirements.txt"),
    )
    options = parser.parse_args(arguments)
    try:
        requirements = parse_requirements(options.requirements.read_text("utf-8"))
    except (OSError, ValueError) as error:
        print(f"Error: {options.requirements}: {error}", file=sys.stderr)
        return 2
    findings = check(requirements)
    wrong = [
        f for f in findings if f.status != "ok" and (options.all or not f.optional)
    ]
    if options.json:
        report = {
            "ok": not wrong,
            "packages": [dataclasses.asdict(f) for f in findings],
        }
        print(json.dumps(report, indent=2))
    else:
        print(table(findings))
    if wrong:
        names = ", ".join(f.name for f in wrong)
        print(
            f"Error: {len(wrong)} of {len(findings)} do not fit: {names}. "
            f"Run: pip install -r {options.requirements}",
            file=sys.stderr,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
