"""The command `virtufin-emulator --backend dapr`, and what it needs of its sidecar."""

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import grpc.aio
import pytest
from dapr.proto import api_service_v1, api_v1

from tests.timing import UNIT
from virtufin.api.client import errors
from virtufin.api.emulator import DaprSettings, EmulatorProcess
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

COMMAND = [sys.executable, "-m", "virtufin.api.emulator", "--port", "0"]


@contextmanager
def running(*arguments):
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            host, _, port = process.stdout.readline().split()[-1].rpartition(":")
            yield SimpleNamespace(gateway=SimpleNamespace(host=host, port=int(port)))
        finally:
            process.terminate()


async def test_the_command_uses_the_given_components(real_parts, real_redis, connect, topic):
    named = {"pubsub_name": "events", "store_name": "values"}
    resources = real_parts.redis_components(real_redis, **named)
    with (
        real_parts.Sidecar("named", resources) as sidecar,
        running(
            *("--backend", "dapr", "--dapr-address", sidecar.address),
            *("--pubsub-name", "events", "--state-store", "values"),
        ) as replica,
    ):
        client = connect(replica)
        await client.state.save("workmanager", "k", "v")
        assert (await client.state.get("workmanager", "k"))["value"] == "v"
        async with await client.pubsub.subscribe_async(topic) as subscription:
            await client.pubsub.publish_async(topic, "x")
            assert (await subscription.__anext__()).data_as_text() == "x"


@pytest.mark.parametrize("option", [["--pubsub-name", "x"], ["--keep-history"]])
def test_options_of_dapr_need_its_backend(option):
    done = subprocess.run([*COMMAND, *option], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{option[0]} needs --backend dapr" in done.stderr


@pytest.mark.parametrize("option", ["--pubsub-name", "--state-store", "--dapr-address"])
def test_an_option_of_dapr_must_not_be_empty(option):
    done = subprocess.run(
        [*COMMAND, "--backend", "dapr", option, ""], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "must not be empty" in done.stderr


@pytest.fixture(scope="module")
def guarded(start_sidecar):
    """A sidecar that demands a token."""
    return start_sidecar("guarded", environment={"DAPR_API_TOKEN": "s3cr3t"})


async def test_a_sidecar_that_demands_a_token_gets_it(guarded, connect, topic):
    dapr = DaprSettings(address=guarded.address, api_token="s3cr3t")
    assert "s3cr3t" not in repr(dapr)
    with EmulatorProcess(dapr=dapr) as gateway:
        client = connect(SimpleNamespace(gateway=gateway))
        await client.state.save("workmanager", "k", "v")
        async with await client.pubsub.subscribe_async(topic) as subscription:
            await client.pubsub.publish_async(topic, "x")
            assert (await subscription.__anext__()).data_as_text() == "x"


async def test_a_wrong_token_is_the_gateway_s_fault_not_the_caller_s(guarded, connect):
    with EmulatorProcess(dapr=DaprSettings(address=guarded.address)) as gateway:
        client = connect(SimpleNamespace(gateway=gateway))
        with pytest.raises(errors.FailedPreconditionError, match="Dapr sidecar"):
            await client.state.save("workmanager", "k", "v")


async def test_keys_are_those_of_a_service(replicas, publishing_sidecar, connect):
    await connect(replicas[0]).state.save("workmanager", "k", "v")
    async with grpc.aio.insecure_channel(publishing_sidecar.address) as channel:
        request = api_v1.GetStateRequest(store_name="statestore", key="workmanager:k")
        found = await api_service_v1.DaprStub(channel).GetState(request)
    assert found.data == b"v"


async def test_an_event_that_is_not_the_json_it_claims_to_be_is_refused(replicas, connect, topic):
    client = connect(replicas[0])
    with pytest.raises(errors.InvalidRequestError, match="JSON"):
        await client.pubsub.publish_async(topic, "{", content_type="application/json")


async def test_an_event_above_the_sidecar_s_limit_is_refused(replicas, connect, topic):
    client = connect(replicas[0], max_message_bytes=16 * 1024 * 1024)
    with pytest.raises(errors.ResourceExhaustedError):
        await client.pubsub.publish_async(topic, "x" * 5_000_000)


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.x+json",
        "application/xml; charset=utf-8",
        "application/soap+xml",
        "application/yaml",
        "TEXT/Plain",
        "text/csv; header=present",
    ],
)
async def test_text_of_any_media_type_arrives(replicas, connect, topic, media_type):
    client = connect(replicas[0])
    event = CloudEvent(id="1", source="urn:s", type="t", spec_version="1.0", text_data="[1]")
    if media_type:
        event.attributes["datacontenttype"].ce_string = media_type
    topic = "".join(letter if letter.isalnum() else "." for letter in topic)
    async with await client.pubsub.subscribe_async(topic) as subscription:
        await client.pubsub.publish_async(topic, event)
        arrived = await asyncio.wait_for(subscription.__anext__(), 20 * UNIT)
    assert arrived.data_as_text() == "[1]"
