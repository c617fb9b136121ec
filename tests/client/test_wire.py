"""The client speaks the gateway's own wire, whatever its generation, and says so."""

import asyncio
import math
import subprocess
import sys
import time
from contextlib import suppress

import grpc
import pytest

from tests.client.conftest import UNIT, WAITS, until
from tests.layouts import described_layout, make_emulator, named_layout, without
from tests.reflection import V1, V1ALPHA
from virtufin.api.client import (
    ApiClient,
    DeadlineExceededError,
    InvalidInputError,
    RetrySettings,
    UnavailableError,
    UnsupportedError,
    VirtufinError,
    Wire,
)
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

REFLECTION = f"{V1}/ServerReflectionInfo"


@pytest.fixture
async def meet(connect, take_port):
    """Starts a gateway with these options; returns it and a client of it."""
    gateways = []

    async def start(*, settings=None, **options):
        gateway = await make_emulator(
            **{"wire": "current", "port": take_port(), **options}
        ).__aenter__()
        gateways.append(gateway)
        return gateway, connect(gateway, **(settings or {}))

    yield start
    for gateway in gateways:
        await gateway.stop()


def fetches(gateway):
    """Counts the reflection calls of a gateway from now on."""
    return gateway.faults.delay(REFLECTION, 0.001, times=None)


async def test_a_gateway_of_the_packaged_wire_gets_packaged_messages(meet):
    _, client = await meet(wire="current")
    assert client.wire.reason == "no call was made yet"
    await client.list_services_async()
    assert client.wire.origin == "packaged"
    assert client.wire.generation == "current"
    assert client.wire.differences == ()
    assert "same" in client.wire.reason


async def test_moved_field_numbers_are_followed(meet):
    _, client = await meet(wire="moved-numbers")
    await client.save_state_async("workmanager", "k", "v")
    assert (await client.get_state_async("workmanager", "k"))["value"] == "v"
    assert client.wire.origin == "reflection"
    assert client.wire.generation == "current"


async def test_each_difference_is_reported(meet):
    _, client = await meet(wire="moved-numbers")
    await client.list_services_async()
    differences = {difference.where: difference for difference in client.wire.differences}
    difference = differences["virtufin.GetStateResponse.value"]
    assert (difference.packaged, difference.gateway) == ("number 2", "number 3")
    assert "virtufin.GetStateResponse.value: number 2" in str(client.wire)


async def test_the_earlier_generation_is_supported(meet):
    _, client = await meet(wire="earlier")
    async with client.pubsub.subscribe_async_iter("t") as events:
        await client.pubsub.publish_async("t", {"a": 1}, {"ce-subject": "s"}, correlation_id="c")
        event = await anext(events)
    assert event.data_as_json() == {"a": 1}
    assert (event.subject, event.correlation_id) == ("s", "c")
    assert client.wire.generation == "earlier"


async def test_typed_attributes_become_text_on_the_earlier_wire(meet):
    _, client = await meet(wire="earlier")
    async with client.pubsub.subscribe_async_iter("t") as events:
        await client.pubsub.publish_async("t", "", extensions={"count": 3})
        assert (await anext(events)).extensions == {"count": "3"}


async def test_proto_data_is_refused_on_the_earlier_wire(meet):
    _, client = await meet(wire="earlier")
    event = CloudEvent(id="1", source="s", type="t", spec_version="1.0")
    event.proto_data.type_url = "type.googleapis.com/a.B"
    with pytest.raises(UnsupportedError, match="protobuf Any"):
        await client.pubsub.publish_async("t", event)


async def test_heartbeats_of_the_earlier_wire_are_skipped(meet):
    gateway, client = await meet(wire="earlier", heartbeat=0.05 * UNIT)
    async with client.pubsub.subscribe_async_iter("t") as events:
        await events.ready()
        await heartbeats(gateway, 3)
        await client.pubsub.publish_async("t", "")
        assert (await anext(events)).data_as_text() == ""
        assert events.stats.received == 1


async def heartbeats(gateway, count):
    """Waits on a stream of its own, which began last, for so many heartbeats of a gateway."""
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        wire, _ = await described_layout(channel)
        method = wire["Pubsub.Subscribe"]
        call = channel.unary_stream(method.path, response_deserializer=method.response.FromString)
        stream = call(method.request(topics=["other"]).SerializeToString())
        for _ in range(count):
            assert await stream.read() == method.response()


async def test_the_earlier_subscription_of_the_gateway_service_is_used_if_it_is_the_only_one(
    meet,
):
    wire = without(await named_layout("earlier"), "Pubsub.Subscribe")
    _, client = await meet(wire=wire)
    async with client.pubsub.subscribe_async_iter("t") as events:
        await client.pubsub.publish_async("t", "data", type="a.b")
        event = await anext(events)
    assert (event.topic, event.data_as_text(), event.type) == ("t", "data", "a.b")


async def test_the_packaged_wire_can_be_chosen(meet):
    gateway, client = await meet(settings={"wire": "packaged", "complete_replies": False})
    fetched = fetches(gateway)
    await client.list_services_async()
    assert fetched.used == 0
    assert client.wire.reason == "wire='packaged'"


async def test_a_wire_of_another_name_is_refused():
    with pytest.raises(InvalidInputError, match="auto, packaged"):
        ApiClient(wire="newest")


async def test_a_gateway_without_reflection_gets_packaged_messages(meet):
    _, client = await meet(reflection=False)
    await client.save_state_async("workmanager", "k", "v")
    assert client.wire.origin == "packaged"
    assert "no reflection" in client.wire.reason


async def test_concurrent_first_calls_ask_once(meet):
    gateway, client = await meet()
    fetched = fetches(gateway)
    await client.list_services_async()
    once, fetched = fetched.used, fetches(gateway)
    gateway.faults.clear()
    fetched = fetches(gateway)
    async with ApiClient(gateway.host, gateway.port) as other:
        await asyncio.gather(*(other.list_services_async() for _ in range(50)))
    assert fetched.used == once > 0


async def test_a_reflection_that_does_not_answer_costs_its_bound_once(meet):
    gateway, client = await meet(settings={"reflection_timeout": 0.2 * UNIT})
    stalled = gateway.faults.delay(REFLECTION, 3600, times=None)
    for _ in range(3):
        await client.list_services_async()
    assert stalled.used == 1
    assert "could not fetch" in client.wire.reason


async def test_a_call_whose_time_ends_before_the_wire_is_known_is_not_sent(meet):
    gateway, client = await meet(settings={"reflection_timeout": 3600.0})
    gateway.faults.delay(REFLECTION, 3600, times=None)
    sent = gateway.faults.delay("State/SaveState", 0.001)
    with pytest.raises(DeadlineExceededError, match="nothing was sent"):
        await client.save_state_async("workmanager", "k", "v", timeout=0.5 * UNIT)
    assert sent.used == 0


async def test_a_gateway_that_starts_during_calls_never_gets_another_layout(unused_port):
    answers, refused = [], []
    async with ApiClient("127.0.0.1", unused_port, timeout=10 * UNIT) as client:

        async def poll():
            while len(answers) < 20:
                try:
                    answers.append(await client.list_services_async())
                except UnavailableError as error:
                    refused.append(error)

        polling = [asyncio.create_task(poll()) for _ in range(3)]
        await until(lambda: refused)
        async with make_emulator(port=unused_port, wire="moved-numbers"):
            await asyncio.gather(*polling)
    assert all(answer == ["workmanager", "websocketmanager"] for answer in answers)


@pytest.mark.parametrize(
    ("code", "times"),
    [("UNAVAILABLE", 2), ("INTERNAL", 1), ("PERMISSION_DENIED", 1), ("UNKNOWN", 1)],
)
async def test_a_reflection_that_fails_once_is_called_again(meet, code, times):
    gateway, client = await meet(
        wire="moved-numbers", settings={"retry": RetrySettings(max_attempts=1)}
    )
    gateway.faults.fail(REFLECTION, code, times=times)
    await client.list_services_async()
    assert client.wire.origin == "packaged"
    assert await client.list_services_async() == ["workmanager", "websocketmanager"]
    assert client.wire.origin == "reflection"


async def test_a_reflection_that_always_fails_is_called_less_and_less_often(meet):
    gateway, client = await meet()
    failing = gateway.faults.fail(REFLECTION, "UNKNOWN", times=None)
    began = time.monotonic()
    for _ in range(20):
        await client.list_services_async()
    # Two attempts at once, and then the pauses of 1, 2, 4, ... seconds that have passed.
    pauses = math.log2(1 + time.monotonic() - began)
    assert failing.used <= 3 + pauses


async def test_a_failure_of_reflection_shows_no_key(meet):
    gateway, client = await meet(api_keys=["s3cr3t-key"], settings={"api_key": "s3cr3t-key"})
    gateway.faults.fail(REFLECTION, "PERMISSION_DENIED", details="s3cr3t-key may not", times=None)
    await client.list_services_async()
    assert "may not" in str(client.wire)
    assert "s3cr3t" not in str(client.wire)
    assert "s3cr3t" not in str(await client.diagnose(timeout=10 * UNIT))


async def test_a_gateway_that_comes_back_without_reflection_is_taken_for_a_packaged_one(meet):
    old, client = await meet(wire="moved-numbers")
    await client.list_services_async()
    assert client.wire.origin == "reflection"
    await old.stop()
    async with make_emulator(port=old.port, reflection=False, wire="current"):
        await client.connect()
        assert await client.list_services_async()
        assert client.wire.origin == "packaged"


async def test_an_upgraded_gateway_is_followed(meet):
    old, client = await meet(wire="earlier")
    await client.save_state_async("workmanager", "k", "v")
    assert client.wire.generation == "earlier"
    await old.stop()
    async with make_emulator(port=old.port, wire="moved-numbers"):
        await client.connect()
        await client.save_state_async("workmanager", "k", "w")
        assert (await client.get_state_async("workmanager", "k"))["value"] == "w"
        assert client.wire.generation == "current"


def lacks(gateway, version):
    """Makes a gateway answer as one without a version of reflection does."""
    return gateway.faults.fail(f"{version}/ServerReflectionInfo", "UNIMPLEMENTED", times=None)


async def test_a_gateway_with_another_version_of_reflection_is_understood_too(meet):
    old, client = await meet()
    fetched = lacks(old, V1)
    await client.list_services_async()
    assert fetched.used == 1
    await old.stop()
    async with make_emulator(port=old.port, wire="moved-numbers") as new:
        lacks(new, V1ALPHA)
        await client.connect()
        assert await client.list_services_async()
        assert client.wire.origin == "reflection"


async def test_a_subscription_without_any_time_to_open_is_not_opened(meet):
    gateway, client = await meet(settings={"timeout": 0.0})
    opened = gateway.faults.delay("Pubsub/Subscribe", 0.001)
    with suppress(VirtufinError):
        await client.pubsub.subscribe_async("t", timeout=1 * UNIT)
    assert opened.used == 0


async def test_a_subscription_follows_an_upgraded_gateway(meet):
    old, client = await meet(wire="earlier")
    subscription = await client.pubsub.subscribe_async("t")
    await old.stop()
    async with make_emulator(port=old.port, wire="current") as new:
        async with ApiClient(new.host, new.port, subscription=WAITS) as other:
            async for state in subscription.states():
                if state.name == "LIVE":
                    break
            await other.pubsub.publish_async("t", "after")
            assert (await anext(subscription)).data_as_text() == "after"
        await subscription.aclose()


async def test_a_field_that_the_gateway_lacks_is_an_error_that_names_it(meet):
    wire = without(Wire.packaged(), "SaveStateRequest.publish_change")
    _, client = await meet(wire=wire)
    await client.save_state_async("workmanager", "k", "v")
    with pytest.raises(UnsupportedError, match="publish_change"):
        await client.save_state_async("workmanager", "k", "v", publish_change=True)


async def test_a_method_that_the_gateway_lacks_is_unsupported(meet):
    _, client = await meet(wire=without(Wire.packaged(), "State.QueryState"))
    with pytest.raises(UnsupportedError, match="QueryState"):
        await client.state.query("workmanager", "{}")
    missing = [difference.where for difference in client.wire.differences]
    assert missing == ["virtufin.State.QueryState"]


async def test_the_wire_is_fetched_with_the_key_of_the_call(meet):
    keys = []
    _, client = await meet(
        api_keys=["secret"], settings={"api_key": lambda: keys.append(1) or "secret"}
    )
    await client.list_services_async()
    assert len(keys) == 1
    assert "same" in client.wire.reason


async def test_a_wrong_key_leaves_the_packaged_wire_until_the_right_one(meet):
    keys = iter(["wrong", "secret"])
    _, client = await meet(
        api_keys=["secret"],
        wire="moved-numbers",
        settings={"api_key": lambda: next(keys)},
    )
    with pytest.raises(grpc.RpcError):
        await client.list_services_async()
    assert client.wire.origin == "packaged"
    assert await client.list_services_async()
    assert client.wire.origin == "reflection"


CLOSED_ONE_AFTER_THE_OTHER = """
import asyncio, sys
from virtufin.api.client import ApiClient
async def main():
    async with ApiClient(sys.argv[1]) as client:
        await asyncio.gather(*(client.list_services_async() for _ in range(50)))
for _ in range(10):
    asyncio.run(main())
"""


LEFT_OPEN = """
async def left_open():
    await ApiClient(sys.argv[1]).list_services_async()
asyncio.run(left_open())
"""


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["", LEFT_OPEN], ids=["closed", "left open"])
def test_loops_may_end_one_after_the_other(virtufin_emulator, rest):
    code = CLOSED_ONE_AFTER_THE_OTHER + rest
    ran = subprocess.run(
        [sys.executable, "-c", code, f"dns:///{virtufin_emulator.target}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0
    assert ran.stderr == ""


async def test_on_a_channel_of_the_caller_an_upgraded_gateway_is_followed(meet):
    old, _ = await meet(wire="earlier")
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(old.target, options=options) as channel:
        client = ApiClient(channel=channel)
        await client.save_state_async("workmanager", "k", "v")
        assert client.wire.generation == "earlier"
        await old.stop()
        async with make_emulator(port=old.port, wire="moved-numbers"):
            await client.connect()
            await client.save_state_async("workmanager", "k", "w")
            assert client.wire.generation == "current"
        await client.close()
