"""An app in a process of its own that gets SIGTERM while it works."""

import asyncio
import contextlib
import signal
import sys
from collections import Counter

import grpc
import pytest

from tests.dapr.delivering import calling, status_of, topic_event
from tests.timing import UNIT
from tests.workspace import ROOT

pytestmark = pytest.mark.slow

GRACE = UNIT


@contextlib.asynccontextmanager
async def process():
    command = (sys.executable, "-m", "tests.dapr.serving_app", str(GRACE))
    app = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        port = int(await app.stdout.readline())
        async with calling(port) as caller:
            yield app, caller
    finally:
        if app.returncode is None:
            app.kill()
        await app.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_a_signal_ends_the_process_with_every_event_answered(number):
    answers = Counter()
    async with process() as (app, caller):
        first = asyncio.Event()

        async def deliver(seconds, **fields):
            """Delivers one event after the other, as a sidecar does, while the app answers."""
            with contextlib.suppress(grpc.aio.AioRpcError):
                while True:
                    call = caller.send(topic_event(data=seconds, **fields))
                    try:
                        answers[status_of(await call)] += 1
                    except grpc.aio.AioRpcError as error:
                        answers[error.code().name] += 1
                        raise
                    first.set()

        # Some never end, some soon, some within the grace time; more than the app takes at once.
        deliveries = [asyncio.ensure_future(deliver(100 * GRACE, id="timed")) for _ in range(5)]
        for _ in range(5):
            assert await app.stdout.readline() == b"began\n"
        waits = [0.01] * 20 + [GRACE / 2] * 5
        deliveries += [asyncio.ensure_future(deliver(seconds)) for seconds in waits]
        await first.wait()
        began = asyncio.get_running_loop().time()
        app.send_signal(number)
        assert await app.stdout.read() == b"ended\n"
        took = asyncio.get_running_loop().time() - began
        assert await app.wait() == 0
        await asyncio.gather(*deliveries)
    # The last call of each found no server, or was under way when the server ended.
    assert answers.pop("UNAVAILABLE") + answers.pop("CANCELLED", 0) == len(deliveries)
    assert set(answers) == {"SUCCESS", "RETRY"}
    assert answers["RETRY"] >= 5
    assert took < 10 * GRACE, "it ended long after the grace time"


async def test_more_signals_change_nothing():
    async with process() as (app, caller):
        call = asyncio.ensure_future(caller.event(id="timed", data=GRACE / 2))
        assert await app.stdout.readline() == b"began\n"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            app.send_signal(number)
        assert await call == "SUCCESS"
        assert await app.wait() == 0
