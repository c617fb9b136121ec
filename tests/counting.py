"""Counts of what a piece of work costs, which no other load on the machine can change."""

import asyncio
import sys
from contextlib import contextmanager
from types import SimpleNamespace


@contextmanager
def counted_tasks():
    """Yields an object whose `count` is the number of tasks that the loop has made."""
    loop = asyncio.get_running_loop()
    counter = SimpleNamespace(count=0)

    def make(loop, coroutine, **options):
        counter.count += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(make)
    try:
        yield counter
    finally:
        loop.set_task_factory(None)


@contextmanager
def counted_calls(*parts):
    """Yields an object whose `count` is the number of calls of functions in files with these parts.

    A coroutine that goes on after a wait counts again.
    """
    counter = SimpleNamespace(count=0)

    def note(frame, event, _):
        if event == "call" and any(part in frame.f_code.co_filename for part in parts):
            counter.count += 1

    sys.setprofile(note)
    try:
        yield counter
    finally:
        sys.setprofile(None)
