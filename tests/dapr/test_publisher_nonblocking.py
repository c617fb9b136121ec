"""Nothing of the publisher blocks the event loop, or keeps it busy for long."""

import asyncio
import os
import signal
import sys

import pytest

from tests.blocking import no_blocking_calls
from tests.dapr.cpu import measured
from tests.timing import UNIT, until
from tests.workspace import ROOT
from virtufin.api.client import errors
from virtufin.api.dapr import DaprPublisher, PublishFailedError

pytestmark = pytest.mark.slow

MOST = 0.03
"""Seconds of CPU that one callback may use. Threads of one core slow each other down, so that the
same callback costs more of them while other programs run."""


@pytest.fixture
def no_blocking():
    """Raises where code of the SDK makes a blocking call in the loop."""
    with no_blocking_calls("virtufin.api.client", "virtufin.api.dapr") as detector:
        yield detector


@pytest.fixture
async def other_process():
    """A sidecar in another process: its id and its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.dapr.frozen", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    port = int(await process.stdout.readline())
    yield process.pid, port
    process.kill()
    await process.communicate()


async def use(publisher, timeout, *, fails):
    """Publishes in every way, each of which fails with an error of this class, or none."""
    ways = [
        publisher.publish_async("t", "x", timeout=timeout),
        publisher.publish_async("t", "x" * 100_000, timeout=timeout),
        publisher.publish_many_async("t", range(300), timeout=timeout),
        batched(publisher, timeout),
    ]
    for outcome in await asyncio.gather(*ways, return_exceptions=True):
        if fails:
            assert isinstance(outcome, fails)
        else:
            assert not isinstance(outcome, BaseException)


async def batched(publisher, timeout):
    async with publisher.batching(timeout=timeout) as batch:
        for number in range(300):
            await batch.publish_async("t", number)
        await batch.flush()


async def test_a_publishers_life_blocks_nothing(sidecar, no_blocking):
    async with DaprPublisher(address=sidecar.address, api_token="t") as publisher:
        await use(publisher, 10 * UNIT, fails=None)


async def test_a_sidecar_that_is_down_blocks_nothing(no_blocking):
    async with DaprPublisher(address="127.0.0.1:1") as publisher:
        await use(publisher, 2 * UNIT, fails=errors.UnavailableError)


async def test_a_frozen_sidecar_blocks_nothing(other_process, no_blocking):
    process, port = other_process
    async with DaprPublisher(address=f"127.0.0.1:{port}") as publisher:
        await publisher.publish_async("t", "x")
        os.kill(process, signal.SIGSTOP)
        await use(publisher, 0.5 * UNIT, fails=errors.DeadlineExceededError)
        os.kill(process, signal.SIGCONT)
        await use(publisher, 10 * UNIT, fails=None)


async def test_a_server_that_accepts_and_never_answers_blocks_nothing(no_blocking):
    accepted = []
    server = await asyncio.start_server(lambda *streams: accepted.append(streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with DaprPublisher(address=f"127.0.0.1:{port}") as publisher:
        await use(publisher, 0.5 * UNIT, fails=(errors.DeadlineExceededError,))
    assert accepted
    for _, writer in accepted:
        writer.close()
    server.close()


@pytest.mark.alone
@pytest.mark.parametrize("way", ["batching", "in order", "many"])
async def test_no_callback_is_long_while_many_events_go_out(other_process, way):
    # Without the loop's debugging, which has a cost of its own in every callback.
    asyncio.get_running_loop().set_debug(False)
    _, port = other_process
    count = 2000 if way == "in order" else 20_000
    data = [{"symbol": "ABC", "price": 1.5, "number": number} for number in range(count)]
    async with DaprPublisher(address=f"127.0.0.1:{port}") as publisher:
        await publisher.publish_async("t", "x")
        async with measured() as longest:
            if way == "many":
                await publisher.publish_many_async("t", data)
            else:
                async with publisher.batching(keep_order=way == "in order") as batch:
                    for one in data:
                        await batch.publish_async("t", one)
                    assert longest.seconds < MOST, longest.callback
                assert batch.stats.published == count
    assert longest.seconds < MOST, longest.callback


@pytest.mark.alone
async def test_no_callback_is_long_while_many_producers_wait_for_capacity(other_process):
    asyncio.get_running_loop().set_debug(False)
    _, port = other_process
    async with DaprPublisher(address=f"127.0.0.1:{port}") as publisher:
        await publisher.publish_async("t", "x")
        async with measured() as longest, publisher.batching(max_pending_events=1000) as batch:
            await asyncio.gather(*(produce(batch, 10) for _ in range(500)))
    assert batch.stats.published == 5000
    assert longest.seconds < MOST, longest.callback


async def produce(batch, count):
    for number in range(count):
        await batch.publish_async("t", number)


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["text", "bytes", "rows"])
async def test_encoding_a_large_event_leaves_the_loop_free(other_process, kind):
    asyncio.get_running_loop().set_debug(False)
    _, port = other_process
    rows = [{"number": number, "price": number * 1.1} for number in range(60_000)]
    data = {"text": "x" * 3_000_000, "bytes": b"x" * 2_500_000, "rows": rows}[kind]
    async with DaprPublisher(address=f"127.0.0.1:{port}") as publisher:
        await publisher.publish_async("t", "x")
        async with measured() as longest:
            await publisher.publish_async("t", data)
            async with publisher.batching() as batch:
                await batch.publish_async("t", data)
            await publisher.publish_many_async("t", [data, 1])
    assert longest.seconds < MOST, longest.callback


@pytest.mark.alone
@pytest.mark.parametrize("sidecar_is", ["down", "frozen"])
async def test_failing_events_take_no_long_callback_either(other_process, sidecar_is):
    asyncio.get_running_loop().set_debug(False)
    process, port = other_process
    address = "127.0.0.1:1" if sidecar_is == "down" else f"127.0.0.1:{port}"
    os.kill(process, signal.SIGSTOP)
    async with DaprPublisher(address=address) as publisher:
        batch = publisher.batching(timeout=0.3 * UNIT, on_failed=lambda failed: None)
        async with measured() as longest:
            for number in range(5000):
                await batch.publish_async("t", number)
            await until(lambda: batch.stats.failed == 5000)
            with pytest.raises(PublishFailedError):
                await publisher.publish_many_async("t", range(5000), timeout=0.3 * UNIT)
        await batch.close()
    os.kill(process, signal.SIGCONT)
    assert longest.seconds < MOST, longest.callback
