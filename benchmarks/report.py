"""The results as text for a terminal, as JSON, and as a page with plots."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from pairs import Row, Series

PAGE = Path("docs/performance.md")
PLOTS = Path("docs/performance")
PACKAGES = ("grpcio", "protobuf", "dapr", "uvloop")
_WIDTHS = (38, 36, 10, 10, 22, 22)


def _cells(*texts: str) -> str:
    return " ".join(text.ljust(width) for text, width in zip(texts, _WIDTHS, strict=True)).rstrip()


HEADING = _cells("what", "against", "peer", "ours", "ratio of wall", "ratio of CPU")


def _amount(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 0.01 else f"{seconds * 1e6:.1f} µs"


def _ratio(row: Row, measure: str) -> str:
    low, high = row.spread(measure)
    return f"{row.ratio(measure):.2f} [{low:.2f}-{high:.2f}]"


def _numbers(row: Row) -> tuple[str, ...]:
    amounts = (_amount(row.median("wall", side)) for side in (0, 1))
    return (row.what, row.peer, *amounts, _ratio(row, "wall"), _ratio(row, "cpu"))


def kept(row: Row) -> str:
    """Returns the bounds of a row, each with whether it was kept."""
    return "; ".join(
        f"{bound.measure} {bound} {'kept' if bound.holds(row.ratio(bound.measure)) else 'NOT KEPT'}"
        f" ({row.ratio(bound.measure):.2f})"
        for bound in row.bounds
    )


def line(row: Row) -> str:
    """Returns a row for the terminal."""
    notes = "  ".join(note for note in (kept(row), row.note) if note)
    return f"{_cells(*_numbers(row))}  {notes}".rstrip()


def points(series: Series) -> str:
    """Returns a series for the terminal."""
    lines = [f"{series.what} ({series.y}) by {series.x}"]
    lines += [
        f"  {name:12}" + "  ".join(f"{x:g}: {y:.1f}" for x, y in line)
        for name, line in series.lines.items()
    ]
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """Returns which bounds were not kept."""
    broken = [
        f"  {row.what}: {bound.measure} {row.ratio(bound.measure):.2f}, must be {bound}"
        for row in rows
        for bound in row.bounds
        if not bound.holds(row.ratio(bound.measure))
    ]
    total = sum(len(row.bounds) for row in rows)
    return "\n".join([f"{total - len(broken)} of {total} bounds kept", *broken])


def results(rows: list[Row], series: list[Series], seconds: float) -> dict[str, Any]:
    """Returns all that was measured, with the machine and the versions."""
    return {
        "measured": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "seconds": round(seconds),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
        "rows": [row.as_dict() for row in rows],
        "series": [one.as_dict() for one in series],
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.processor() or "unknown"


INTRODUCTION = """\
# Performance

<!-- Written by `scripts/nox -s benchmarks -- --page`; do not edit. -->

What this SDK costs over the thing that you would use instead: a bare gRPC stub, or dapr's own
client. Both run in turn, again and again, so that both meet the same machine; the ratio is the
median of the ratios of these pairs, with the quartiles in brackets. Below 1, this SDK is cheaper.
CPU is the processor time of the process that is measured, not of its peer.

Run it yourself: `scripts/nox -s benchmarks`, or a quick one with `-- --quick`.
"""


def write_page(found: dict[str, Any], rows: list[Row], series: list[Series]) -> None:
    """Writes the page of the documentation, and its plots.

    Args:
        found: The results, for the machine and the versions.
        rows: The rows that were measured.
        series: The series that were measured.
    """
    PLOTS.mkdir(exist_ok=True)
    machine = found["machine"]
    text = [
        INTRODUCTION,
        f"Measured on {found['measured']}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}; Python {machine['python']}, "
        + ", ".join(f"{name} {machine[name]}" for name in PACKAGES)
        + ".\n",
        "![Ratios of processor time](performance/ratios.svg)\n",
        "| What | Against | Peer | Ours | Wall ratio | CPU ratio | Bounds |",
        "| --- | --- | ---: | ---: | --- | --- | --- |",
    ]
    text += ["| " + " | ".join((*_numbers(row), kept(row))) + " |" for row in rows]
    _plot_ratios(rows)
    text.append("\n## As the work grows\n")
    for number, one in enumerate(series):
        name = f"series-{number}.svg"
        _plot_series(one, PLOTS / name)
        text.append(f"![{one.what} by {one.x}](performance/{name})\n")
        text.append(f"```text\n{points(one)}\n```\n")
    PAGE.write_text("\n".join(text).rstrip() + "\n")


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    # The same bytes for the same numbers, so that a diff shows what has changed.
    mpl.rcParams.update({"svg.hashsalt": "virtufin", "svg.fonttype": "none", "font.size": 9})
    import matplotlib.pyplot as plt

    return plt


def _save(plt: Any, path: Path) -> None:
    plt.tight_layout()
    plt.savefig(path, metadata={"Date": None})
    plt.close()


def _plot_ratios(rows: list[Row]) -> None:
    plt = _pyplot()
    names = [row.what for row in rows]
    values = [row.ratio("cpu") for row in rows]
    plt.figure(figsize=(8, 0.32 * len(rows) + 1))
    plt.barh(names, values, color=["#3a7d44" if value <= 1 else "#4063a3" for value in values])
    plt.axvline(1.0, color="#333333", linewidth=1)
    for place, row in enumerate(rows):
        for bound in row.bounds:
            if bound.measure == "cpu":
                plt.plot([bound.at_most] * 2, [place - 0.4, place + 0.4], color="#c0392b")
    plt.gca().invert_yaxis()
    plt.xlabel("processor time, ours by the peer's; red: the bound")
    _save(plt, PLOTS / "ratios.svg")


def _plot_series(series: Series, path: Path) -> None:
    plt = _pyplot()
    plt.figure(figsize=(6, 3))
    for label, points in series.lines.items():
        plt.plot([x for x, _ in points], [y for _, y in points], marker="o", label=label)
    if series.logarithmic:
        plt.xscale("log")
    plt.ylim(bottom=0)
    plt.xlabel(series.x)
    plt.ylabel(f"{series.what} ({series.y})")
    plt.legend()
    _save(plt, path)
