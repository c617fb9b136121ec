"""Gateways of other generations: moved field numbers, and what a wire can lack."""

import asyncio
import json

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from tests.layouts import LAYOUTS, named_layout, without
from tests.reflection import V1, V1ALPHA, Reflection
from virtufin.api.client import Wire
from virtufin.api.emulator import EmulatorProcess, Service
from virtufin.api.protos import cloudevents_pb2, config_pb2, gateway_pb2, pubsub_pb2, state_pb2

OTHERS = [name for name in LAYOUTS if name != "current"]


@pytest.fixture(params=LAYOUTS)
async def gateway(request, start):
    return await start(wire=request.param)


@pytest.fixture
async def speak(gateway, learn):
    return await learn(gateway)


def payload(item):
    """The payload of an event, whatever its layout."""
    return item.data if hasattr(item, "data") else item.cloudevent.text_data.encode()


@pytest.mark.parametrize("version", [V1, V1ALPHA])
@pytest.mark.parametrize("module", [gateway_pb2, pubsub_pb2, state_pb2, config_pb2])
async def test_reflection_describes_the_moved_numbers(start, describe, version, module):
    (service,) = module.DESCRIPTOR.services_by_name
    pool = await describe(await start(wire="moved-numbers"), version, f"virtufin.{service}")
    for name, message in module.DESCRIPTOR.message_types_by_name.items():
        moved = pool.FindMessageTypeByName(f"virtufin.{name}").fields
        there = [(field.name, field.number + 1) for field in message.fields]
        assert [(field.name, field.number) for field in moved] == there


async def test_entries_of_maps_keep_their_numbers(start, learn):
    pool = (await learn(await start(wire="moved-numbers"))).pool
    entry = pool.FindMessageTypeByName("virtufin.GetAllStateResponse.ValuesEntry")
    assert [(field.name, field.number) for field in entry.fields] == [("key", 1), ("value", 2)]


async def test_cloudevents_keep_their_numbers(start, learn):
    pool = (await learn(await start(wire="moved-numbers"))).pool
    kind = pool.FindMessageTypeByName("io.cloudevents.v1.CloudEvent")
    there = cloudevents_pb2.CloudEvent.DESCRIPTOR.fields
    assert [field.number for field in kind.fields] == [field.number for field in there]


async def test_packaged_stubs_do_not_understand_moved_numbers(start, stubs_of, refused):
    state = stubs_of(await start(wire="moved-numbers")).state
    call = state.GetState(state_pb2.GetStateRequest(service="workmanager", key="k"))
    assert (await refused(call)).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_event_passes_on_moved_numbers(start, learn):
    speak = await learn(await start(wire="moved-numbers"))
    stream = await speak.subscribe(topics=["a"])
    sent = cloudevents_pb2.CloudEvent(id="1", source="s", type="t", text_data="x")
    sent.attributes["runid"].ce_integer = 7
    request = speak.wire["Pubsub.PublishEvent"].request(topic="a")
    request.cloudevent.ParseFromString(sent.SerializeToString())
    reply = await speak("Pubsub.PublishEvent", topic="a", cloudevent=request.cloudevent)
    assert (reply.status.success, reply.status.status) == (True, "OK")
    item = await stream.read()
    assert item.topic == "a"
    assert cloudevents_pb2.CloudEvent.FromString(item.cloudevent.SerializeToString()) == sent


async def test_state_is_kept(speak):
    await speak("State.SaveState", service="workmanager", key="k", value="v")
    entry = await speak("State.GetState", service="workmanager", key="k")
    assert (entry.value, bool(entry.etag)) == ("v", True)
    found = await speak("State.GetBulkState", service="workmanager", keys=["x", "k"])
    assert [(item.key, item.value) for item in found.items] == [("x", ""), ("k", "v")]
    found = await speak("State.QueryState", service="workmanager", query="{}", limit=1)
    assert [item.key for item in found.items] == ["k"]
    await speak("State.DeleteState", service="workmanager", key="k")
    assert not (await speak("State.GetState", service="workmanager", key="k")).etag


async def test_the_calls_of_earlier_gateways_are_there(speak):
    assert (await speak("State.RegisterKeys", service="workmanager", keys=["k"])).status.success
    await speak("State.SaveState", service="workmanager", key="k", value="v")
    everything = await speak("State.GetAllState", service="workmanager")
    assert dict(everything.values) == {"k": "v"}


@pytest.mark.parametrize("wire", LAYOUTS)
async def test_the_calls_of_earlier_gateways_can_be_left_out(start, learn, connect, refused, wire):
    gateway = await start(wire=wire, legacy_state=False)
    assert "State.GetAllState" not in (await learn(gateway)).wire
    call = connect(gateway.target).unary_unary("/virtufin.State/GetAllState")(b"")
    assert (await refused(call)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_refusal_is_the_same(speak, refused):
    error = await refused(speak("State.GetState", service="missing", key="k"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "unknown service 'missing'" in error.details()


async def test_config_is_returned(speak):
    services = (await speak("Config.ListServices")).services
    assert [service.name for service in services] == ["workmanager", "websocketmanager"]
    service = (await speak("Config.GetService", name="workmanager")).service
    assert service.grpc.reflection_enabled
    assert service.HasField("jobs")
    assert not (await speak("Config.GetService", name="x")).HasField("service")


async def test_backends_are_invoked(speak):
    reply = await speak(
        "Gateway.InvokeJson", service="workmanager", method="ListWorkers", request_data="{}"
    )
    assert reply.success
    assert json.loads(reply.response_data)["workers"]
    raw = await speak("Gateway.Invoke", service="workmanager", method="ListWorkers")
    assert raw.response_data


async def test_a_failure_in_a_backend_is_reported_in_band(speak):
    reply = await speak("Gateway.InvokeJson", service="workmanager", method="Dance")
    assert (reply.success, reply.status) == (False, "NOT_FOUND")


async def test_methods_and_their_schemas_are_described(speak):
    methods = (await speak("Gateway.ListMethods", service="workmanager")).methods
    assert "virtufin.WorkManager.CreateWorker" in [method.full_name for method in methods]
    schema = await speak("Gateway.GetMethodSchema", service="workmanager", method="CreateWorker")
    fields = {field.name: field for field in schema.schema.fields}
    assert fields["topics"].is_repeated
    assert fields["config"].type == "map"


async def test_changes_of_state_are_events(speak):
    stream = await speak.subscribe(topics=["state.change"])
    await speak(
        "State.SaveState",
        service="workmanager",
        key="k",
        value="v",
        publish_change=True,
        include_value=True,
    )
    assert json.loads(payload(await stream.read()))["value"] == "v"


async def test_the_samples_publish_events(speak):
    stream = await speak.subscribe(topics=["workmanager.lifecycle"])
    await speak(
        "Gateway.InvokeJson",
        service="workmanager",
        method="CreateWorker",
        request_data='{"mime_type": "text/x-python"}',
    )
    assert json.loads(payload(await stream.read()))


@pytest.mark.parametrize("wire", LAYOUTS)
async def test_a_publisher_at_the_stand_in_reaches_the_subscribers(start, learn, wire):
    dapr = pytest.importorskip("virtufin.api.dapr", reason="the Dapr plugin is not installed")
    gateway = await start(wire=wire, dapr_port=0)
    stream = await (await learn(gateway)).subscribe(topics=["prices"])
    async with dapr.DaprPublisher(address=gateway.dapr_address) as publisher:
        await publisher.publish_async("prices", {"a": 1})
    assert payload(await stream.read()) == b'{"a":1}'


async def test_a_method_that_fails_by_a_plan_is_found_by_its_name(gateway, speak, refused):
    gateway.faults.fail("State/GetState", "ABORTED")
    call = speak("State.GetState", service="workmanager", key="k")
    assert (await refused(call)).code() is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("wire", LAYOUTS)
@pytest.mark.parametrize("name", ["State.QueryState", "Pubsub.Subscribe", "Gateway.ListMethods"])
async def test_a_method_that_a_wire_lacks_is_unimplemented_and_not_described(
    start, learn, connect, refused, wire, name
):
    gateway = await start(wire=without(await named_layout(wire), name))
    assert name not in (await learn(gateway)).wire
    service, method = name.split(".")
    call = connect(gateway.target).unary_unary(f"/virtufin.{service}/{method}")(b"")
    assert (await refused(call)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_plans_on_streams_need_no_method_of_pubsub(start):
    names = ["Pubsub.Subscribe", "Pubsub.PublishEvent"]
    gateway = await start(wire=without(await named_layout("earlier"), *names))
    with gateway.faults.cut_after(1, topic="a") as plan:
        assert plan.used == 0


async def test_a_service_without_methods_is_not_described(start, connect):
    wire = Wire.packaged()
    gateway = await start(wire=without(wire, *(name for name in wire if "Gateway." in name)))
    client = Reflection(connect(gateway.target))
    assert "virtufin.Gateway" not in await client.list_services()
    assert await client.files("virtufin.StatusResponse")
    with pytest.raises(LookupError):
        await client.files("virtufin.Gateway")


async def test_a_wire_made_of_some_methods_has_no_others(start, learn, connect, refused):
    packaged = Wire.packaged()
    some = {name: packaged[name] for name in packaged if name != "State.QueryState"}
    gateway = await start(wire=Wire(some, origin="some"))
    assert "State.QueryState" not in (await learn(gateway)).wire
    call = connect(gateway.target).unary_unary("/virtufin.State/QueryState")(b"")
    assert (await refused(call)).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("wire", LAYOUTS)
async def test_fields_that_a_wire_lacks_are_as_if_empty(start, learn, wire):
    fields = ["SaveStateRequest.publish_change", "GetStateResponse.etag"]
    speak = await learn(await start(wire=without(await named_layout(wire), *fields)))
    request = speak.wire["State.SaveState"].request
    assert "publish_change" not in request.DESCRIPTOR.fields_by_name
    await speak("State.SaveState", service="workmanager", key="k", value="v")
    entry = await speak("State.GetState", service="workmanager", key="k")
    assert entry.value == "v"
    assert not hasattr(entry, "etag")


@pytest.mark.parametrize("wire", OTHERS)
async def test_a_process_serves_a_wire_by_its_name(learn, wire):
    expected = (await named_layout(wire))["Pubsub.PublishEvent"].request.DESCRIPTOR
    with EmulatorProcess(wire=wire) as gateway:
        speak = await learn(gateway)
        there = speak.wire["Pubsub.PublishEvent"].request.DESCRIPTOR
        numbers = [
            [(field.name, field.number) for field in one.fields] for one in (there, expected)
        ]
        assert numbers[0] == numbers[1]
        services = (await speak("Gateway.ListServices")).services
        assert list(services) == ["workmanager", "websocketmanager"]


def test_a_wire_that_has_no_name_is_not_for_a_process():
    with pytest.raises(TypeError, match="wire cannot be handed over to another process"):
        EmulatorProcess(wire=Wire.packaged())


async def test_a_registered_backend_is_invoked(start, learn, probe):
    services = [Service("probe", probe.address)]
    for wire in OTHERS:
        speak = await learn(await start(wire=wire, services=services))
        reply = await speak(
            "Gateway.InvokeJson", service="probe", method="Echo", request_data='{"someText": "x"}'
        )
        assert json.loads(reply.response_data) == {"someText": "x"}


async def test_a_gateway_without_reflection_calls_backends_all_the_same(
    start, stubs_of, invoke_json, refused, connect
):
    gateway = await start(reflection=False)
    assert (await invoke_json(stubs_of(gateway), "workmanager", "ListWorkers")).success
    for version in (V1, V1ALPHA):
        call = connect(gateway.target).unary_stream(f"/{version}/ServerReflectionInfo")(b"")
        assert (await refused(call.read())).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_reflection_can_be_delayed(start, connect, unit, version):
    gateway = await start()
    plan = gateway.faults.delay(f"{version}/ServerReflectionInfo", 600 * unit)
    call = connect(gateway.target).unary_stream(f"/{version}/ServerReflectionInfo")
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    reading = asyncio.ensure_future(call(question).read())
    done, _ = await asyncio.wait((reading,), timeout=0.2 * unit)
    assert not done
    assert plan.used == 1
    plan.lift()
    assert await asyncio.wait_for(reading, 5 * unit)


async def test_reflection_fails_only_when_named(start, connect, refused):
    gateway = await start()
    client = Reflection(connect(gateway.target))
    with gateway.faults.fail("*", "INTERNAL", times=None) as plan:
        assert await client.list_services()
        assert plan.used == 0
