"""The emulator in place of a Dapr sidecar, for what publishes to one."""

import asyncio
import subprocess
import sys

import grpc
import pytest

from tests.timing import UNIT
from virtufin.api.client import errors
from virtufin.api.emulator import DaprSettings, Emulator, EmulatorProcess, Service
from virtufin.api.protos import pubsub_pb2

dapr = pytest.importorskip("virtufin.api.dapr", reason="the Dapr plugin is not installed")
api_v1 = pytest.importorskip("dapr.proto").api_v1


@pytest.fixture
async def gateway(start):
    return await start(dapr_port=0)


@pytest.fixture
async def publisher(gateway):
    async with dapr.DaprPublisher(address=gateway.dapr_address) as open_publisher:
        yield open_publisher


async def test_published_events_reach_the_subscribers_of_the_gateway(publisher, subscribe):
    stream = await subscribe("prices")
    await publisher.publish_async("prices", {"a": 1}, extensions={"runid": 7}, subject="s")
    item = await stream.read()
    assert item.topic == "prices"
    assert item.cloudevent.text_data == '{"a":1}'
    assert item.cloudevent.attributes["runid"].ce_integer == 7
    assert item.cloudevent.attributes["subject"].ce_string == "s"


async def test_many_at_once_reach_them_in_order(publisher, subscribe):
    stream = await subscribe("prices")
    await publisher.publish_many_async("prices", range(250))
    texts = [(await stream.read()).cloudevent.text_data for _ in range(250)]
    assert sorted(texts, key=int) == [str(number) for number in range(250)]


@pytest.mark.parametrize("method", ["Dapr/PublishEvent", "Dapr/BulkPublishEventAlpha1"])
async def test_fault_plans_are_for_it_too(gateway, publisher, subscribe, method):
    stream = await subscribe("prices")
    gateway.faults.fail(method, "PERMISSION_DENIED", topic="prices")

    async def publish(data):
        if method == "Dapr/PublishEvent":
            await publisher.publish_async("prices", data)
        else:
            await publisher.publish_many_async("prices", [data, data])

    with pytest.raises(errors.VirtufinError, match="fault plan"):
        await publish("lost")
    await publish("found")
    assert (await stream.read()).cloudevent.text_data == "found"


async def test_plans_for_all_methods_leave_it_alone(gateway, publisher):
    with gateway.faults.fail("*", "UNAVAILABLE", times=None) as plan:
        await publisher.publish_async("prices", 1)
    assert plan.used == 0


@pytest.fixture
async def stub(gateway, connect):
    api = pytest.importorskip("dapr.proto").api_service_v1
    return api.DaprStub(connect(gateway.dapr_address))


@pytest.mark.parametrize(
    ("request_", "details"),
    [
        ({"pubsub_name": "none", "topic": "t"}, "none is not found"),
        ({"pubsub_name": "pubsub"}, "topic is empty"),
        (
            {
                "pubsub_name": "pubsub",
                "topic": "t",
                "data": b"[]",
                "data_content_type": "application/cloudevents+json",
            },
            "CloudEvents JSON",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_stand_in_refuses_the_same_as_a_sidecar(stub, refused, request_, details):
    error = await refused(stub.PublishEvent(api_v1.PublishEventRequest(**request_)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details in error.details()


async def test_an_entry_that_is_no_event_fails_alone(stub, subscribe):
    stream = await subscribe("t")
    kind = "application/cloudevents+json"
    good = b'{"id": "1", "source": "s", "type": "t", "specversion": "1.0", "data": 1}'
    request = api_v1.BulkPublishRequest(pubsub_name="pubsub", topic="t")
    request.entries.add(entry_id="a", event=b"", content_type=kind)
    request.entries.add(entry_id="b", event=good, content_type=kind)
    reply = await stub.BulkPublishEventAlpha1(request)
    [failed] = reply.failedEntries
    assert failed.entry_id == "a"
    assert (await stream.read()).cloudevent.text_data == "1"


@pytest.mark.parametrize("names", [["a", "a"], ["a", ""]])
async def test_entries_without_a_name_of_their_own_are_refused_together(
    stub, subscribe, refused, names
):
    stream = await subscribe("t")
    request = api_v1.BulkPublishRequest(pubsub_name="pubsub", topic="t")
    for name in names:
        request.entries.add(entry_id=name, event=b"lost", content_type="text/plain")
    error = await refused(stub.BulkPublishEventAlpha1(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    del request.entries[1:]
    request.entries[0].event = b"found"
    await stub.BulkPublishEventAlpha1(request)
    assert (await stream.read()).cloudevent.text_data == "found"


async def test_data_that_is_no_event_is_made_one(stub, subscribe):
    stream = await subscribe("t")
    request = api_v1.PublishEventRequest(
        pubsub_name="pubsub", topic="t", data=b'{"a": 1}', data_content_type="application/json"
    )
    await stub.PublishEvent(request)
    event = (await stream.read()).cloudevent
    assert (event.type, event.text_data) == ("com.dapr.event.sent", '{"a": 1}')
    assert event.id
    assert event.attributes["time"].ce_timestamp.seconds


async def test_the_stand_in_knows_the_components_of_the_services(start):
    gateway = await start(
        dapr_port=0, services=[Service("orders", "127.0.0.1:1", pubsub_name="orders-pubsub")]
    )
    async with dapr.DaprPublisher("orders-pubsub", address=gateway.dapr_address) as publisher:
        assert await publisher.publish_async("t", 1)


async def test_the_stand_in_keeps_its_port_over_restarts(gateway, publisher):
    address = gateway.dapr_address
    await gateway.restart()
    assert gateway.dapr_address == address
    await publisher.publish_async("t", 1)


async def test_a_gateway_in_a_process_of_its_own_has_a_stand_in(virtufin_emulator_factory):
    gateway = virtufin_emulator_factory(dapr_port=0)
    channel = grpc.aio.insecure_channel(gateway.target)
    subscribe = channel.unary_stream(
        "/virtufin.Pubsub/Subscribe",
        request_serializer=pubsub_pb2.SubscribeRequest.SerializeToString,
        response_deserializer=pubsub_pb2.SubscribeResponse.FromString,
    )
    stream = subscribe(pubsub_pb2.SubscribeRequest(topics=["t"]))
    await stream.initial_metadata()
    async with dapr.DaprPublisher(address=gateway.dapr_address) as publisher:
        await publisher.publish_async("t", "x")
        assert (await stream.read()).cloudevent.text_data == "x"
        gateway.faults.delay("Dapr/PublishEvent", 600 * UNIT)
        with pytest.raises(TimeoutError):
            await publisher.publish_async("t", "x", timeout=0.1 * UNIT)
    stream.cancel()
    await channel.close()


def test_the_command_prints_the_address_of_the_stand_in():
    command = [sys.executable, "-m", "virtufin.api.emulator", "--port", "0", "--dapr-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("listening on ")
            assert process.stdout.readline().startswith("dapr on 127.0.0.1:")
        finally:
            process.terminate()


def test_a_gateway_without_stand_in_has_no_dapr_address():
    with pytest.raises(RuntimeError, match="dapr_port"):
        _ = Emulator().dapr_address
    with EmulatorProcess() as gateway, pytest.raises(RuntimeError, match="dapr_port"):
        _ = gateway.dapr_address


def test_a_stand_in_and_a_real_sidecar_exclude_each_other():
    with pytest.raises(ValueError, match="in memory"):
        Emulator(dapr=DaprSettings(), dapr_port=0)


def test_without_the_plugin_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "virtufin.api.emulator._sidecar.stand_in", None)
    monkeypatch.setitem(sys.modules, "virtufin.api.emulator._backends.dapr", None)
    for options in ({"dapr_port": 0}, {"dapr": DaprSettings()}):
        with pytest.raises(ImportError, match=r"virtufin-api-emulator\[dapr\]"):
            Emulator(**options)


async def test_a_taken_port_says_so(gateway):
    port = int(gateway.dapr_address.rpartition(":")[2])
    with pytest.raises(OSError, match="the port is taken"):
        await asyncio.wait_for(Emulator(dapr_port=port).start(), 10 * UNIT)
