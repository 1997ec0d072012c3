"""Tables, charts and the page of what ready.py measured."""

import html
import math
import sys
from collections.abc import Sequence
from typing import Any

from ready_contenders import IN_FLIGHT, ROOT, WORKERS

DOCS = ROOT / "docs"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def number(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "-"


def rows_of_latency(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "contender", "p50 ms", "p95 ms", "p99 ms", "first ms", "runs"]]
    rows[0] += ["CPU ms"]
    for name, model in figures["models"].items():
        for contender, one in model["contenders"].items():
            times = [number(one[f"p{part}_ms"], 3) for part in (50, 95, 99)]
            times += [number(one.get("first_p50_ms"), 3), str(one["runs"])]
            rows.append([name, contender, *times, number(one.get("cpu_ms"))])
        for contender, why in figures["absent"].items():
            if contender not in model["contenders"]:
                rows.append([name, contender, why, "", "", "", "", ""])
    return rows


def rows_of_ratios(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "ratio of medians", "first of a burst", "all of it"]]
    for name, model in figures["models"].items():
        bursts = model.get("ratios_of_bursts", {})
        for what, value in model["ratios"].items():
            rows.append([name, what, number(value, 3), number(bursts.get(what), 3)])
    return rows


def rows_of_saturation(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "contender", "requests/s", "of worker", "p50 ms", "p95 ms"]]
    rows[0] += ["CPU ms", "MiB each", "refill CPU ms"]
    for name, model in figures["models"].items():
        for contender, one in model.get("saturation", {}).items():
            ready = model["ready"].get(contender) or {}
            memory = ready.get("private_bytes_per_child", ready.get("private_bytes"))
            mib = number(memory / 2**20, 1) if memory is not None else "-"
            refill = ready.get("refill_cpu_ms")
            if refill is None and contender == "ours-request":
                refill = model.get("refill_cpu_ms")
            rows.append(
                [name, contender, number(one["requests_per_s"], 1)]
                + [number(one.get("of_worker"))]
                + [number(one.get("p50_ms")), number(one.get("p95_ms"))]
                + [number(one.get("cpu_ms_per_request")), mib]
                + [number(refill, 1)]
            )
    return rows


def rows_of_steps(figures: dict[str, Any]) -> list[list[str]]:
    """CPU milliseconds of a request at level request under load, step by step."""
    steps = ("load", "first call", "process", "rest", "all", "second call")
    rows = [["model", *steps]]
    for name, model in figures["models"].items():
        if found := model.get("steps"):
            rows.append([name, *(number(found[step], 1) for step in steps)])
    return rows


def rows_of_sizes(figures: dict[str, Any]) -> list[list[str]]:
    names = [n for row in figures["sizes"] for n in row["contenders"]]
    names = list(dict.fromkeys(names))
    rows = [["bytes", "form", *(f"{name} p50 ms" for name in names)]]
    for row in figures["sizes"]:
        form = "JSON" if row["content_type"].endswith("json") else "safetensors"
        medians = [row["contenders"].get(name, {}).get("p50_ms") for name in names]
        rows.append([str(row["bytes"]), form, *(number(m, 3) for m in medians)])
    return rows


def rows_of_growth(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "file MiB", "others ready", "private MiB", "load ms", "p50 ms"]]
    rows[0] += ["CPU ms"]
    for row in figures.get("growth", ()):
        keys = ("private_mib", "load_ms", "p50_ms", "cpu_ms")
        rows.append(
            [row["model"], number(row["file_mib"], 0), str(row["others"])]
            + [number(row[key], 1 if key != "p50_ms" else 2) for key in keys]
        )
    return rows


def rows_of_targets(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "target", "value", "wanted", "met"]]
    for one in figures["targets"]:
        met = "yes" if one["met"] else "NO"
        rows.append(
            [one["model"], one["what"], number(one["value"], 3), one["target"], met]
        )
    return rows


TABLES = (
    rows_of_latency,
    rows_of_ratios,
    rows_of_saturation,
    rows_of_steps,
    rows_of_sizes,
    rows_of_growth,
)


def show(rows: list[list[str]]) -> None:
    """Columns as wide as they need to be; a reason runs over its neighbours."""
    if len(rows) < 2:
        return
    wide = [
        max(len(row[i]) for row in rows if row[-1] or i < 2)
        for i in range(len(rows[0]))
    ]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, wide)).rstrip())
    say("")


def in_markdown(rows: list[list[str]]) -> str:
    if len(rows) < 2:
        return "Not measured.\n"
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


COLORS = {
    "bare": "#9aa5b1",
    "worker": "#3e7cb1",
    "plain": "#c8553d",
    "bwrap": "#e09f3e",
    "http": "#8e6c8a",
    "ours-rewind": "#2f6f5e",
    "ours-request": "#2a9d5c",
    "ours-tenant": "#7bc47f",
    "ours-cold": "#1b6b43",
}
FONT = "font-family='sans-serif' font-size='12'"


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' "
        f"width='{width:g}' height='{height:g}' {FONT} role='img'>\n"
        f"<title>{html.escape(title)}</title>\n"
        "<rect width='100%' height='100%' fill='white'/>\n"
        + label(10, 22, title, "font-weight='bold' font-size='14'")
        + "".join(parts)
        + "</svg>\n"
    )


def label(x: float, y: float, text: str, how: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {how}>{html.escape(text)}</text>\n"


def decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around all values."""
    low = math.floor(math.log10(min(values)))
    return low, max(math.ceil(math.log10(max(values))), low + 1)


def bars(title: str, unit: str, groups: dict[str, dict[str, float]]) -> str:
    """A bar for each contender, below the name of each model; the scale is logarithmic.

    Returns:
        The chart; empty when there is nothing to show.
    """
    values = [v for group in groups.values() for v in group.values() if v > 0]
    if not values:
        return ""
    left, span, y = 110.0, 520.0, 52.0
    low, high = decades(values)
    parts = []
    for name, group in groups.items():
        parts.append(label(10, y, name, "font-weight='bold'"))
        for contender, value in group.items():
            y += 18
            share = (math.log10(max(value, 10**low)) - low) / (high - low)
            parts.append(label(left - 6, y, contender, "text-anchor='end'"))
            parts.append(
                f"<rect x='{left:g}' y='{y - 11:.1f}' height='14' rx='2' "
                f"width='{max(share * span, 1):.1f}' fill='{COLORS[contender]}'/>\n"
            )
            parts.append(label(left + share * span + 6, y, f"{value:.3g} {unit}"))
        y += 26
    grid = []
    for power in range(low, high + 1):
        x = left + (power - low) / (high - low) * span
        grid.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='34' y2='{y - 12:.1f}' "
            "stroke='#dddddd'/>\n"
        )
        grid.append(label(x, y + 2, f"{10.0**power:g}", "text-anchor='middle'"))
    parts.append(label(left + span + 14, y + 2, unit))
    return svg(left + span + 120, y + 14, title, [*grid, *parts])


def curves(title: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    """Milliseconds over bytes, both scales logarithmic; empty without a point."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    left, top, wide, tall = 60.0, 40.0, 520.0, 320.0
    x_low, x_high = (f(math.log2(x) for x, _ in points) for f in (min, max))
    y_low, y_high = decades([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log2(x) - x_low) / max(x_high - x_low, 1)
        up = (math.log10(y) - y_low) / (y_high - y_low)
        return left + across * wide, top + (1 - up) * tall

    parts = []
    for power in range(y_low, y_high + 1):
        y = place(2**x_low, 10.0**power)[1]
        parts.append(
            f"<line x1='{left:g}' x2='{left + wide:g}' y1='{y:.1f}' y2='{y:.1f}' "
            "stroke='#dddddd'/>\n"
        )
        parts.append(label(left - 6, y + 4, f"{10.0**power:g}", "text-anchor='end'"))
    for power, text in ((10, "1 KiB"), (14, "16 KiB"), (20, "1 MiB"), (24, "16 MiB")):
        x = place(2.0**power, 10.0**y_low)[0]
        parts.append(label(x, top + tall + 18, text, "text-anchor='middle'"))
    parts.append(label(10, top - 4, "ms"))
    for index, (name, line) in enumerate(lines.items()):
        path = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in line)
        color = COLORS[name]
        parts.append(
            f"<polyline points='{path}' fill='none' stroke='{color}' "
            "stroke-width='2'/>\n"
        )
        y = top + 12 + 18 * index
        parts.append(
            f"<rect x='{left + wide + 14:g}' y='{y - 10:g}' width='12' height='12' "
            f"fill='{color}'/>\n"
        )
        parts.append(label(left + wide + 32, y, name))
    return svg(left + wide + 140, top + tall + 34, title, parts)


def plot(figures: dict[str, Any], explanation: str) -> None:
    """Draws the charts and writes the page around them."""
    latency: dict[str, dict[str, float]] = {}
    throughput: dict[str, dict[str, float]] = {}
    for name, model in figures["models"].items():
        latency[name] = {c: f["p50_ms"] for c, f in model["contenders"].items()}
        found = model.get("saturation", {})
        throughput[name] = {c: f["requests_per_s"] for c, f in found.items()}
    sizes: dict[str, list[tuple[float, float]]] = {}
    for row in figures["sizes"]:
        if row["content_type"].endswith("json"):
            continue
        for name, one in row["contenders"].items():
            sizes.setdefault(name, []).append((row["bytes"], one["p50_ms"]))
    charts = {
        "latency": bars("Median latency, one request at a time", "ms", latency),
        "throughput": bars("Throughput, all processors busy", "/s", throughput),
        "sizes": curves("Latency of echo over the size of its input", sizes),
    }
    folder = DOCS / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in charts.items():
        path = folder / f"{name}.svg"
        if chart:
            path.write_text(chart)
        else:
            path.unlink(missing_ok=True)
    (DOCS / "performance.md").write_text(page(figures, charts, explanation))
    say(f"wrote {DOCS / 'performance.md'} and its charts")


def page(figures: dict[str, Any], charts: dict[str, str], explanation: str) -> str:
    """docs/performance.md."""
    where = figures["machine"]
    parts = explanation.split("\n\n")

    def chart(name: str) -> str:
        return f"![{name}](performance/{name}.svg)\n\n" if charts[name] else ""

    return (
        "# Performance\n\n"
        "`scripts/bench ready` measures this page, `scripts/bench ready --plot` "
        "writes it; do not edit it.\n"
        f"Measured on {figures['date']}, {where['processor']}, {where['cores']} "
        f"cores, load before {where['load_before']}, {figures['runs']} runs "
        f"({figures['slow_runs']} of those that take a second).\n\n"
        "In one run, on the same inputs, taking turns; every model computes with one "
        f"thread:\n\n```\n{parts[2]}\n```\n\n{parts[3]}\n\n"
        "## Latency, one request at a time\n\n"
        + chart("latency")
        + in_markdown(rows_of_latency(figures))
        + "\nGPT takes part as TorchScript alone. It exports to ONNX, with the same "
        "tokens, but not as anybody would serve it: with its loop unrolled 32 times a "
        "session takes 2.6 s of CPU time to open, as a loop of ONNX 19 s.\n\n"
        "## Targets\n\nRequests by the first of each burst.\n\n"
        + in_markdown(rows_of_targets(figures))
        + "\n## Ratios\n\n"
        + in_markdown(rows_of_ratios(figures))
        + "\n## Throughput and memory\n\n"
        + f"{WORKERS} workers with one request in flight each; {IN_FLIGHT} requests "
        "in flight for the node. The client's CPU time is not in `CPU ms`.\n\n"
        + chart("throughput")
        + in_markdown(rows_of_saturation(figures))
        + "\nWhere the CPU milliseconds of a request with a sandbox of its own go, "
        "under load. `load`, `first call` and `process` (page faults of the fork, the "
        "end of its address space) are those of processes without walls, as many at a "
        "time; `rest` is what `all` has more: namespaces, mounts, checks, warm-up "
        "calls while there was time for them, the node. The worker pays the "
        "`second call` alone.\n\n"
        + in_markdown(rows_of_steps(figures))
        + "\n## Size of the input\n\n"
        + chart("sizes")
        + in_markdown(rows_of_sizes(figures))
        + "\n## Size and number of models\n\n"
        + "Weights are safetensors, mapped and shared. CPU is of a request with its "
        "refill.\n\n" + in_markdown(rows_of_growth(figures))
    )
