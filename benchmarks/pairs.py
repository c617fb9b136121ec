"""Interleaved runs of two ways to do one thing: on a shared machine only their ratio means much."""

import contextlib
import statistics
import subprocess
import sys
import time


@contextlib.contextmanager
def emulator(*options):
    """An emulator as a process of its own; yields its port."""
    command = [sys.executable, "-m", "virtufin.api.emulator", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                raise SystemExit(f"the emulator did not start: {line}")
            yield int(line.rpartition(":")[2])
        finally:
            process.terminate()


async def compare(what, unit, base, ours, rounds=10, labels=("grpc.aio", "client")):
    """Runs both in turn; prints the medians and the ratio of each pair's times."""
    await base()
    await ours()
    pairs = []
    for _ in range(rounds):
        pair = []
        for run in (base, ours):
            start = time.perf_counter()
            count = await run()
            pair.append((time.perf_counter() - start) / count)
        pairs.append(pair)
    times = [statistics.median(pair[side] for pair in pairs) * 1e6 for side in (0, 1)]
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(
        f"{what:32} {labels[0]} {times[0]:7.1f} us   {labels[1]} {times[1]:7.1f} us a {unit}"
        f"   ratio {ratio:.2f}"
    )
