"""The gateway inside the process."""

import asyncio
import subprocess
import sys

import pytest

from virtufin.api.client import ApiClient


async def test_memory_is_a_gateway_without_a_server():
    async with ApiClient("memory:") as client:
        assert "workmanager" in await client.list_services_async()
        await client.connect()


async def test_two_clients_of_one_name_share_a_gateway():
    async with ApiClient("memory:shared") as one, ApiClient("memory:shared") as two:
        await one.save_state_async("workmanager", "k", "v")
        assert (await two.get_state_async("workmanager", "k"))["value"] == "v"


async def test_clients_without_a_name_share_nothing():
    async with ApiClient("memory:") as one, ApiClient("memory:") as two:
        await one.save_state_async("workmanager", "k", "v")
        assert not (await two.get_state_async("workmanager", "k"))["found"]


async def test_concurrent_first_calls_open_one_gateway():
    async with ApiClient("memory:") as client:
        await asyncio.gather(*(client.list_services_async() for _ in range(10)))
    assert client.closed


async def test_a_subscription_in_memory_gets_what_is_published():
    async with (
        ApiClient("memory:") as client,
        client.pubsub.subscribe_async_iter("t") as subscription,
    ):
        await client.pubsub.publish_async("t", "x")
        assert (await anext(subscription)).data_as_text() == "x"


@pytest.mark.parametrize("host", ["memory:", "memory:name"])
def test_memory_works_from_the_environment(monkeypatch, host):
    monkeypatch.setenv("VIRTUFIN_API_HOST", host)
    assert ApiClient().target == host


def test_without_the_emulator_the_error_names_the_command_to_install_it():
    program = """
import asyncio, sys
sys.modules["virtufin.api.emulator._memory"] = None
from virtufin.api.client import ApiClient, UnavailableError
async def main():
    async with ApiClient("memory:") as client: pass
try:
    asyncio.run(main())
except UnavailableError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install virtufin-api-emulator" in out.stdout
