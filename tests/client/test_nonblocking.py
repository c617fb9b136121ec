"""Nothing of the client blocks the event loop."""

import asyncio
import time

import pytest
import trustme
from blockbuster import BlockingError, blockbuster_ctx

from tests.blocking import no_blocking_calls
from tests.client.conftest import UNIT, until
from virtufin.api.client import ApiClient, TlsSettings, UnavailableError


@pytest.fixture
def no_blocking():
    """Raises where code of the SDK makes a blocking call in the loop."""
    with no_blocking_calls("virtufin.api.client") as detector:
        yield detector


async def test_the_detector_sees_a_blocking_call():
    with blockbuster_ctx(), pytest.raises(BlockingError):
        time.sleep(0.01)  # noqa: ASYNC251 - for the detector to find


async def test_a_clients_life_blocks_nothing(gateway, connect, no_blocking):
    client = connect(gateway)
    await client.connect()
    assert (await client.gateway.workmanager.ListWorkers())["workers"]
    await client.state.update("workmanager", "k", lambda value: "v")
    await client.config.list_services()
    await client.pubsub.respond("t", lambda event: "ok")
    await client.pubsub.publish_with_result_async("t", "d", "r")
    subscription = await client.pubsub.subscribe_async("u")
    await client.pubsub.publish_async("u", {"a": 1})
    await anext(subscription)
    gateway.faults.cut_streams()
    await until(lambda: subscription.stats.interruptions == 1)
    await client.close()


async def test_opening_and_closing_in_memory_blocks_nothing(no_blocking):
    async with ApiClient("memory:") as client:
        assert await client.list_services_async()


async def test_certificates_are_read_in_a_thread(tmp_path, no_blocking):
    path = tmp_path / "ca.pem"
    await asyncio.to_thread(trustme.CA().cert_pem.write_to_path, path)
    async with ApiClient("127.0.0.1", 1, tls=TlsSettings(ca=path)) as client:
        with pytest.raises(UnavailableError):
            await client.list_services_async(timeout=5 * UNIT)
