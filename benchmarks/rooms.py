"""Counts the files and functions of the client that a warm call, and an event, go through.

Counts, not times: they stay the same on any machine, so a check can hold them. Fewer rooms mean
less to read for whoever follows a call with a debugger.

    python benchmarks/rooms.py
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

from virtufin.api import client as package
from virtufin.api.client import ApiClient
from virtufin.api.emulator import EmulatorProcess

CLIENT = str(Path(package.__file__).parent) + os.sep


class Visits:
    """The functions of the client that were entered, and the files they are in."""

    def __init__(self) -> None:
        # Kept whole: the identity of a frame that was freed may be that of the next one.
        self._frames: dict[int, FrameType] = {}

    def __enter__(self) -> Visits:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        # A coroutine that goes on is a call too, of a frame that was seen before.
        if event == "call" and CLIENT in frame.f_code.co_filename:
            self._frames.setdefault(id(frame), frame)

    @property
    def functions(self) -> int:
        """The number of functions that were entered."""
        return len(self._frames)

    def rooms(self) -> list[str]:
        """The files, in the order in which they were entered first."""
        names = (frame.f_code.co_filename.rpartition(CLIENT)[2] for frame in self._frames.values())
        return list(dict.fromkeys(names))


async def visits_of(run: Callable[[], Awaitable[Any]]) -> Visits:
    """Returns the visits of one run, after three others that warmed everything up."""
    for _ in range(3):
        await run()
    visits = Visits()
    with visits:
        await run()
    return visits


async def measure() -> dict[str, Visits]:
    """The visits of each journey, by its name."""
    with EmulatorProcess() as gateway:
        async with ApiClient(gateway.host, gateway.port) as client:
            handled = asyncio.Event()
            await client.subscribe_async_with_handler(lambda _: handled.set(), topics="rooms")

            async def publish_to_handler() -> None:
                handled.clear()
                await client.pubsub.publish_async("rooms", "x")
                await handled.wait()

            return {
                "ListWorkers()": await visits_of(client.gateway.workmanager.ListWorkers),
                "get_state_async()": await visits_of(
                    lambda: client.get_state_async("workmanager", "k")
                ),
                "publish to handler": await visits_of(publish_to_handler),
            }


def main() -> None:
    """Prints the counts, and the files in the order in which they are entered."""
    for journey, visits in asyncio.run(measure()).items():
        rooms = visits.rooms()
        print(f"{journey}: {len(rooms)} files, {visits.functions} functions")
        for room in rooms:
            print(f"    {room}")


if __name__ == "__main__":
    main()
