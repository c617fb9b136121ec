"""CPU time of the callbacks of an event loop."""

import asyncio
import gc
import sys
import time
from contextlib import asynccontextmanager


class Longest:
    """The most that one callback has used, and which it was."""

    def __init__(self):
        self.seconds = 0.0
        self.callback = ""

    def note(self, seconds, handle):
        """Remembers a callback where it is the longest so far."""
        if seconds > self.seconds:
            self.seconds = seconds
            self.callback = repr(handle)


@asynccontextmanager
async def measured():
    """Measures every callback that this thread's loop runs in the block, by the thread's CPU time.

    Without what watches the code run: coverage would cost as much again.
    """
    longest = Longest()
    run = asyncio.Handle._run

    def timed(handle):
        watching = sys.gettrace()
        sys.settrace(None)
        begin = time.thread_time()
        try:
            run(handle)
        finally:
            longest.note(time.thread_time() - begin, handle)
            sys.settrace(watching)

    # A collection of garbage that runs in a callback counts, but only over objects made in the
    # block, not over all the modules of the tests.
    gc.collect()
    gc.freeze()
    asyncio.Handle._run = timed
    try:
        # Callbacks are measured as a whole: the one that begins and the one that ends here, too.
        await asyncio.sleep(0)
        yield longest
        await asyncio.sleep(0)
    finally:
        gc.unfreeze()
        asyncio.Handle._run = run
