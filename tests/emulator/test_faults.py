"""Fault plans from Python."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from virtufin.api.protos import cloudevents_pb2, gateway_pb2, pubsub_pb2, state_pb2

GET = state_pb2.GetStateRequest(service="workmanager", key="k")


@pytest.mark.parametrize(
    "method", ["State/GetState", "virtufin.State/GetState", "/virtufin.State/GetState", "*"]
)
async def test_the_next_calls_fail_and_the_one_after_succeeds(gateway, stubs, refused, method):
    gateway.faults.fail(method, grpc.StatusCode.UNAVAILABLE, times=2)
    for _ in range(2):
        error = await refused(stubs.state.GetState(GET))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "virtufin.State/GetState" in error.details()
    await stubs.state.GetState(GET)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
async def test_calls_and_streams_can_fail_with_every_status(gateway, stubs, refused, code):
    gateway.faults.fail("*", code.name, times=2, details="broken")
    error = await refused(stubs.state.GetState(GET))
    assert (error.code(), error.details()) == (code, "broken")
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    error = await refused(stream.read())
    assert (error.code(), error.details()) == (code, "broken")


async def test_other_methods_are_not_affected(gateway, stubs):
    plan = gateway.faults.fail("State/SaveState", "INTERNAL")
    assert (await stubs.state.GetState(GET)).key == "k"
    assert plan.used == 0


async def test_a_failed_call_is_not_carried_out(gateway, stubs, refused):
    gateway.faults.fail("State/SaveState", "INTERNAL")
    save = state_pb2.SaveStateRequest(service="workmanager", key="k", value="v")
    await refused(stubs.state.SaveState(save))
    assert not (await stubs.state.GetState(GET)).etag


async def test_plans_add_up_in_order(gateway, stubs, refused):
    gateway.faults.fail("State/GetState", "INTERNAL")
    gateway.faults.fail("*", "ABORTED")
    codes = [(await refused(stubs.state.GetState(GET))).code().name for _ in range(2)]
    assert codes == ["INTERNAL", "ABORTED"]
    await stubs.state.GetState(GET)


async def test_clear_drops_the_plans(gateway, stubs):
    plan = gateway.faults.fail("*", "INTERNAL", times=100)
    gateway.faults.clear()
    assert (await stubs.state.GetState(GET)).key == "k"
    assert plan.used == 0


async def test_health_fails_only_when_named(gateway, stubs, refused):
    health = health_pb2_grpc.HealthStub(stubs.channel)
    gateway.faults.fail("*", "INTERNAL")
    await health.Check(health_pb2.HealthCheckRequest())
    gateway.faults.fail("Health/Check", "UNAVAILABLE")
    error = await refused(health.Check(health_pb2.HealthCheckRequest()))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_faults_survive_a_restart(gateway, stubs_of, refused):
    gateway.faults.fail("Gateway/ListServices", "INTERNAL")
    await gateway.stop()
    await gateway.start()
    call = stubs_of(gateway).gateway.ListServices(gateway_pb2.ListServicesRequest())
    assert (await refused(call)).code() is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("State/GetStat", "INTERNAL"), "State/GetState"),
        (("GetState", "INTERNAL"), "State/GetState"),
        (("State/getState", "INTERNAL"), "State/GetState"),
        (("", "INTERNAL"), "no method"),
        (("*", "BROKEN"), "UNAVAILABLE"),
        (("*", "OK"), "OK"),
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused_with_a_hint(gateway, arguments, named):
    with pytest.raises(ValueError, match=named):
        gateway.faults.fail(*arguments)


async def test_times_begin_at_one(gateway):
    with pytest.raises(ValueError, match="times"):
        gateway.faults.fail("*", "INTERNAL", times=0)


@pytest.fixture
async def streams(stubs):
    opened = []
    for topic in "ab":
        stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=[topic]))
        await stream.initial_metadata()
        opened.append(stream)
    return opened


async def test_every_open_stream_can_be_cut(gateway, streams, refused, unit):
    assert gateway.faults.cut_streams() == 2
    for stream in streams:
        error = await refused(asyncio.wait_for(stream.read(), 5 * unit))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "fault plan" in error.details()
    assert gateway.faults.open_streams == 0


async def test_streams_are_cut_with_the_given_code(gateway, streams, refused):
    gateway.faults.cut_streams(grpc.StatusCode.DATA_LOSS, details="gone")
    error = await refused(streams[0].read())
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "gone")


async def test_ok_is_a_clean_end(gateway, streams):
    gateway.faults.cut_streams("OK")
    assert await streams[0].read() is grpc.aio.EOF
    assert await streams[0].code() is grpc.StatusCode.OK


async def test_streams_opened_after_a_cut_live(gateway, streams, stubs):
    gateway.faults.cut_streams()
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    await stream.initial_metadata()
    event = cloudevents_pb2.CloudEvent(id="1")
    await stubs.pubsub.PublishEvent(pubsub_pb2.PublishRequest(topic="a", cloudevent=event))
    assert (await stream.read()).topic == "a"


async def test_cutting_with_an_unknown_code_is_refused(gateway):
    with pytest.raises(ValueError, match="BROKEN"):
        gateway.faults.cut_streams("BROKEN")
