"""The layer table of ARCHITECTURE.md, and who breaks it.

The table has the columns layer, room, responsibility, may use. "May use" names
rooms with commas between; `proto` is the generated code. `all` and `all below` stand
for every room of a lower layer, and `but X` takes one out again. Any other word there
(a library) is for the reader. Every room may use `base` and itself.
"""

import dataclasses
import pathlib
import re

PROTO = "proto"
_ROW = re.compile(r"^\|\s*(\d+)\s*\|\s*`?(\w+)`?\s*\|(.*)\|([^|]*)\|\s*$", re.MULTILINE)
_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
_ROOM_CALL = re.compile(r"^ncn_room\((\w+)([^)]*)\)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class LayerTable:
    """Which room stands on which layer and may use which others."""

    layer: dict[str, int]
    allowed: dict[str, set[str]]

    @staticmethod
    def parse(markdown: str) -> "LayerTable":
        """Reads the table; raises ValueError when it is not one."""
        # The generated code is no room of its own: no src/proto, no ncn_room().
        rows = [row for row in _ROW.findall(markdown) if row[1] != PROTO]
        layer = {room: int(number) for number, room, _, _ in rows}
        if "base" not in layer or len(layer) != len(rows):
            raise ValueError("no layer table: a row for each room, `base` among them")
        allowed = {}
        for _, room, _, cell in rows:
            allowed[room] = _named(cell, room, layer) | {"base"} - {room}
            for used in allowed[room] - {PROTO, "base"}:
                if layer[used] >= layer[room]:
                    raise ValueError(f"{room} may not use {used}: not a lower layer")
        return LayerTable(layer, allowed)

    def include_violations(self, root: pathlib.Path) -> list[str]:
        """One line for each #include in src/ and apps/ that the table forbids."""
        found = []
        for folder in ("src", "apps"):
            for file in sorted((root / folder).rglob("*")):
                if file.suffix not in (".h", ".cc", ".c"):
                    continue
                name = file.relative_to(root)
                room = "apps" if folder == "apps" else name.parts[1]
                for quote, path in _INCLUDE.findall(file.read_text(encoding="utf-8")):
                    complaint = self._judge(root, room, file, quote, path)
                    if complaint:
                        found.append(f'{name}: #include "{path}": {complaint}')
        return found

    def _judge(
        self, root: pathlib.Path, room: str, file: pathlib.Path, quote: str, path: str
    ) -> str:
        """Why a file of a room may not include a path; nothing when it may."""
        if room not in self.allowed:
            return f"the room {room} is missing in the layer table"
        if ".." in path.split("/"):
            return "name headers from src/, not by .."
        first = path.split("/", maxsplit=1)[0]
        if path.startswith("ncn/") and path.endswith(".pb.h"):
            first = PROTO
        elif "/" in path and (root / "src" / first).is_dir():
            if quote == "<":
                return "headers of rooms stand in quotes"
            if not (root / "src" / path).is_file():
                return "there is no such header"
        elif quote == '"' and room != "apps" and (file.parent / path).is_file():
            return f'write "{room}/{path}"'
        else:
            return ""  # The standard library's or another project's.
        if first == room or first in self.allowed[room]:
            return ""
        return f"{room} may use only {', '.join(sorted(self.allowed[room]))}"

    def cmake_violations(self, cmake: str) -> list[str]:
        """Where the DEPS of ncn_room() differ from the table."""
        links = {
            room: set(re.findall(r"\bncn::(\w+)", arguments))
            for room, arguments in _ROOM_CALL.findall(cmake)
        }
        rooms = set(self.layer) - {"apps"}
        found = [f"{room}: no ncn_room({room})" for room in sorted(rooms - set(links))]
        for room, linked in sorted(links.items()):
            if room not in rooms:
                found.append(f"{room}: missing in the layer table")
                continue
            for other in sorted(linked - self.allowed[room]):
                found.append(f"{room}: links {other}, which the table forbids")
            for other in sorted(self.allowed[room] - _reached(room, links)):
                found.append(f"{room}: may use {other} but does not link it")
        return found


def _named(cell: str, room: str, layer: dict[str, int]) -> set[str]:
    """The rooms that a "may use" cell stands for."""
    chosen, _, taken_out = cell.replace("`", "").partition(" but ")
    words = {word.strip() for word in chosen.split(",")}
    named = words & (set(layer) | {PROTO})
    if words & {"all", "all below"}:
        named |= {other for other in layer if layer[other] < layer[room]}
        if "all" in words:
            named.add(PROTO)
    return named - {word.strip() for word in taken_out.split(",")}


def _reached(room: str, links: dict[str, set[str]]) -> set[str]:
    """Every target that linking a room brings along."""
    reached: set[str] = set()
    waiting = [room]
    while waiting:
        for other in links.get(waiting.pop(), set()) - reached:
            reached.add(other)
            waiting.append(other)
    return reached
