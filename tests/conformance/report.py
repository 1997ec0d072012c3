#!/usr/bin/env python3
"""Writes the table of a campaign, and says whether it reached its aim.

report.py FOLDER [TABLE.md]    exit status 0 when enough of what onnxruntime passes
                               by itself passes through the node, too
"""

import json
import sys
from pathlib import Path

SHARE_MIN = 0.95
HEAD = """# Conformance

ONNX's own tests of its operators (`onnx.backend.test`, onnx {version}), each
as a model of its own: first with onnxruntime alone in the runtime image, then through
a gateway and a node in strict mode, in a ready sandbox. They are compared as onnx's own
runner compares. Requests and answers take turns in the forms that can hold them: JSON,
JSON with bytes behind it, `.npz`, safetensors. `scripts/conformance` writes this page.

| outcome | cases |
|---|---|
| passes alone and through the node | {both} |
| passes alone, not through the node | {lost} |
| passes through the node, not alone | {gained} |
| passes neither way | {neither} |
| all | {all} |

Of what onnxruntime passes by itself, {share:.1f} % passes through the node.
"""


def main(folder: Path, table: Path | None) -> int:
    outside: dict[str, str] = json.loads((folder / "outside.json").read_text())
    inside: dict[str, str] = json.loads((folder / "inside.json").read_text())
    missing = "was not sent, for want of a way to say it in Python"
    said = {name: inside.get(name, missing) for name in outside}
    lost = {n: said[n] for n in outside if not outside[n] and said[n]}
    gained = {n: outside[n] for n in outside if outside[n] and not said[n]}
    neither = {n: outside[n] for n in outside if outside[n] and said[n]}
    both = len(outside) - len(lost) - len(gained) - len(neither)
    share = both / max(both + len(lost), 1)
    text = HEAD.format(
        version=(folder / "version").read_text().strip(),
        both=both,
        lost=len(lost),
        gained=len(gained),
        neither=len(neither),
        all=len(outside),
        share=100 * share,
    )
    text += listing("Passes alone, not through the node", lost)
    text += listing("Passes through the node, not alone", gained)
    text += listing("Passes neither way: what onnxruntime alone says", neither)
    if table is not None:
        table.write_text(text, encoding="utf-8")
    print(f"{both} of {both + len(lost)} pass through the node")
    for name, reason in lost.items():
        print(f"  {name}: {first_line(reason)}")
    return 0 if share >= SHARE_MIN and both else 1


def listing(title: str, cases: dict[str, str]) -> str:
    """A table of the cases, by reason."""
    if not cases:
        return f"\n## {title}\n\nNone.\n"
    by_reason: dict[str, list[str]] = {}
    for name in sorted(cases):
        by_reason.setdefault(first_line(cases[name]), []).append(name)
    lines = [f"\n## {title}\n", "| why | cases |", "|---|---|"]
    for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        listed = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {reason.replace('|', '/')} | {listed} |")
    return "\n".join(lines) + "\n"


def first_line(reason: str) -> str:
    """Without the names of single nodes, which are of no interest."""
    line = reason.splitlines()[0]
    return line.partition(" with node name")[0].partition(" node. Name:")[0][:160]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
