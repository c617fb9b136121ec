"""Costs as ratios of paired runs: `scripts/nox -s benchmarks`.

    scripts/nox -s benchmarks                      all of it, in under ten minutes
    scripts/nox -s benchmarks -- --quick           fewer rounds, in a minute
    scripts/nox -s benchmarks -- unary streams     these subjects only
    scripts/nox -s benchmarks -- --page            also writes docs/performance.md and its plots

Each row runs in turn with its peer. Nothing fails by these numbers: a bound that was not kept is
printed as such.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import time
from pathlib import Path

import report
from pairs import Row, Series

from virtufin.api.emulator import sidecar

SUBJECTS = ("unary", "streams", "start", "publishing", "apps", "scaling")
RESULTS = Path(".nox/benchmarks.json")


async def measure(subject: str, quick: bool) -> tuple[list[Row], list[Series]]:
    """Measures a subject, and prints each row when it is there."""
    module = importlib.import_module(subject)
    rows, series = [], []
    async for row in module.rows(quick):
        print(report.line(row), flush=True)
        rows.append(row)
    if hasattr(module, "series"):
        async for one in module.series(quick):
            print(report.points(one), flush=True)
            series.append(one)
    return rows, series


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--page", action="store_true", help="write the page of the documentation")
    arguments = parser.parse_args()
    if unknown := set(arguments.subjects) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    rows: list[Row] = []
    series: list[Series] = []
    print(report.HEADING)
    for subject in arguments.subjects or SUBJECTS:
        try:
            measured = asyncio.run(measure(subject, arguments.quick))
        except sidecar.MissingProgramError as missing:
            print(f"LEFT OUT: {subject}: {missing}; scripts/real_parts gets it")
            continue
        rows += measured[0]
        series += measured[1]
    results = report.results(rows, series, time.monotonic() - began)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))
    print(report.summary(rows))
    print(f"took {time.monotonic() - began:.0f} s; written to {RESULTS}")
    if arguments.page:
        report.write_page(results, rows, series)


if __name__ == "__main__":
    main()
