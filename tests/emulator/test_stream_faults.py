"""Fault plans on calls about a topic, and on Subscribe streams."""

import asyncio
import threading
import time

import grpc
import pytest

from tests.timing import until

# Private, because a call of the public gateway does not outlive its event loop.
from virtufin.api.emulator._faults.active_plans import ActivePlan
from virtufin.api.emulator.faults import Spec
from virtufin.api.protos import cloudevents_pb2, pubsub_pb2, state_pb2


@pytest.fixture
def publish(stubs):
    """Publishes events with these ids."""

    async def send(topic, *identifiers):
        for identifier in identifiers:
            event = cloudevents_pb2.CloudEvent(id=identifier)
            await stubs.pubsub.PublishEvent(
                pubsub_pb2.PublishRequest(topic=topic, cloudevent=event)
            )

    return send


async def ids(stream, count):
    return [(await stream.read()).cloudevent.id for _ in range(count)]


async def assert_idle(stream, seconds):
    """Asserts that nothing comes for a while; returns the task that reads the next item."""
    reading = asyncio.ensure_future(stream.read())
    done, _ = await asyncio.wait((reading,), timeout=seconds)
    assert not done
    return reading


async def test_a_stream_is_cut_after_its_events(gateway, subscribe, publish, refused):
    gateway.faults.cut_after(2, "ABORTED", details="enough")
    stream = await subscribe("t")
    await publish("t", "1", "2", "3")
    assert await ids(stream, 2) == ["1", "2"]
    error = await refused(stream.read())
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "enough")


async def test_a_stream_is_cut_right_after_its_headers(gateway, subscribe, refused):
    gateway.faults.cut_after(0, "DATA_LOSS")
    stream = await subscribe("t")
    assert (await refused(stream.read())).code() is grpc.StatusCode.DATA_LOSS


async def test_a_cut_with_ok_is_a_clean_end(gateway, subscribe, publish):
    gateway.faults.cut_after(1, "OK")
    stream = await subscribe("t")
    await publish("t", "1")
    assert await ids(stream, 1) == ["1"]
    assert await stream.read() is grpc.aio.EOF


async def test_a_plan_takes_hold_of_open_streams_and_counts_from_then(
    gateway, subscribe, publish, refused
):
    stream = await subscribe("t")
    await publish("t", "1", "2")
    assert await ids(stream, 2) == ["1", "2"]
    gateway.faults.cut_after(1, "ABORTED")
    await publish("t", "3", "4")
    assert await ids(stream, 1) == ["3"]
    assert (await refused(stream.read())).code() is grpc.StatusCode.ABORTED


async def test_a_failed_write_loses_its_event(gateway, subscribe, publish, refused):
    gateway.faults.fail_write("INTERNAL", after=1)
    stream = await subscribe("t")
    await publish("t", "1", "2")
    assert await ids(stream, 1) == ["1"]
    error = await refused(stream.read())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "writing failed" in error.details()


async def test_a_failed_write_waits_for_an_event(gateway, subscribe, publish, refused, unit):
    gateway.faults.fail_write()
    stream = await subscribe("t")
    reading = await assert_idle(stream, 0.1 * unit)
    await publish("t", "1")
    assert (await refused(reading)).code() is grpc.StatusCode.INTERNAL


async def test_a_stalled_stream_goes_on_when_the_plan_is_lifted(gateway, subscribe, publish, unit):
    plan = gateway.faults.stall(after=1)
    stream = await subscribe("t")
    await publish("t", "1", "2", "3")
    assert await ids(stream, 1) == ["1"]
    reading = await assert_idle(stream, 0.1 * unit)
    assert gateway.faults.open_streams == 1
    plan.lift()
    assert (await reading).cloudevent.id == "2"
    assert await ids(stream, 1) == ["3"]


async def test_a_stalled_stream_can_be_cut(gateway, subscribe, publish, refused, unit):
    gateway.faults.stall()
    stream = await subscribe("t")
    await publish("t", "1")
    reading = await assert_idle(stream, 0.05 * unit)
    assert gateway.faults.cut_streams("ABORTED") == 1
    assert (await refused(reading)).code() is grpc.StatusCode.ABORTED


async def test_a_stalled_stream_ends_with_the_gateway(gateway, subscribe, publish, refused, unit):
    gateway.faults.stall()
    stream = await subscribe("t")
    await publish("t", "1")
    reading = await assert_idle(stream, 0.05 * unit)
    await gateway.stop()
    assert (await refused(reading)).code() is grpc.StatusCode.UNAVAILABLE


async def test_clear_lifts_a_plan_that_is_used_up_and_still_holds(
    gateway, subscribe, publish, unit
):
    gateway.faults.stall(times=1)
    stream = await subscribe("t")
    await publish("t", "1")
    reading = await assert_idle(stream, 0.05 * unit)
    gateway.faults.stall(topic="other")
    gateway.faults.clear()
    assert (await reading).cloudevent.id == "1"


async def test_slow_writes_wait_before_each_event(gateway, subscribe, publish, unit):
    gateway.faults.slow_writes(0.1 * unit)
    stream = await subscribe("t")
    await publish("t", "1", "2", "3")
    began = time.monotonic()
    assert await ids(stream, 3) == ["1", "2", "3"]
    assert time.monotonic() - began >= 0.2 * unit


async def test_lifting_slow_writes_lets_the_waiting_event_go(gateway, subscribe, publish, unit):
    plan = gateway.faults.slow_writes(1000 * unit)
    stream = await subscribe("t")
    await publish("t", "1")
    reading = await assert_idle(stream, 0.05 * unit)
    plan.lift()
    assert (await reading).cloudevent.id == "1"


async def test_held_headers_come_with_the_first_event(gateway, stubs, subscribe, publish, unit):
    gateway.faults.hold_headers()
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["t"]))
    headers = asyncio.ensure_future(stream.initial_metadata())
    done, _ = await asyncio.wait((headers,), timeout=0.1 * unit)
    assert not done
    await publish("t", "1")
    await headers
    assert await ids(stream, 1) == ["1"]
    await subscribe("t")  # The next one is not held back.


@pytest.fixture
async def held(gateway, stubs, unit):
    """The headers of a stream that a plan holds back, and the plan."""
    plan = gateway.faults.hold_headers()
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["t"]))
    headers = asyncio.ensure_future(stream.initial_metadata())
    await until(lambda: plan.used)
    assert not (await asyncio.wait((headers,), timeout=0.05 * unit))[0]
    return stream, headers, plan


async def test_lifting_the_plan_sends_held_headers(held, publish, unit):
    stream, headers, plan = held
    plan.lift()
    await asyncio.wait_for(headers, 5 * unit)
    await publish("t", "1")
    assert await ids(stream, 1) == ["1"]


async def test_clear_sends_held_headers(gateway, held, unit):
    _, headers, plan = held
    assert not headers.done()
    gateway.faults.clear()
    await asyncio.wait_for(headers, 5 * unit)
    assert plan.over


async def test_held_headers_are_sent_while_the_stream_is_stalled(gateway, held, publish, unit):
    stream, headers, plan = held
    gateway.faults.stall()
    await publish("t", "1")
    plan.lift()
    await asyncio.wait_for(headers, 5 * unit)
    gateway.faults.clear()
    assert await ids(stream, 1) == ["1"]


async def test_a_stream_with_held_headers_ends_with_the_gateway(gateway, held, refused):
    stream, _, _ = held
    await gateway.stop()
    assert (await refused(stream.read())).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_plan_takes_hold_of_as_many_streams_as_it_says(
    gateway, subscribe, publish, refused
):
    plan = gateway.faults.cut_after(0, "ABORTED", times=2)
    for _ in range(2):
        assert (await refused((await subscribe("t")).read())).code() is grpc.StatusCode.ABORTED
    third = await subscribe("t")
    await publish("t", "1")
    assert await ids(third, 1) == ["1"]
    assert plan.used == 2


async def test_a_plan_without_number_holds_until_it_is_lifted(gateway, subscribe, publish, refused):
    with gateway.faults.cut_after(0, "ABORTED", times=None) as plan:
        for _ in range(5):
            assert (await refused((await subscribe("t")).read())).code() is grpc.StatusCode.ABORTED
        assert plan.used == 5
    stream = await subscribe("t")
    await publish("t", "1")
    assert await ids(stream, 1) == ["1"]


async def test_a_plan_for_a_topic_leaves_other_topics_alone(gateway, subscribe, publish, refused):
    gateway.faults.cut_after(0, "ABORTED", topic="a", times=None)
    other = await subscribe("b")
    assert (await refused((await subscribe("a")).read())).code() is grpc.StatusCode.ABORTED
    assert (await refused((await subscribe("b", "a")).read())).code() is grpc.StatusCode.ABORTED
    assert (await refused((await subscribe()).read())).code() is grpc.StatusCode.ABORTED
    await publish("b", "1")
    assert await ids(other, 1) == ["1"]


async def test_only_the_streams_of_a_topic_can_be_cut(gateway, subscribe, publish, refused):
    one, other = await subscribe("a"), await subscribe("b")
    assert gateway.faults.cut_streams("ABORTED", topic="a") == 1
    assert (await refused(one.read())).code() is grpc.StatusCode.ABORTED
    await publish("b", "1")
    assert await ids(other, 1) == ["1"]


async def test_publishing_to_one_topic_can_fail(gateway, publish, refused):
    gateway.faults.fail("Pubsub/PublishEvent", "RESOURCE_EXHAUSTED", topic="a", times=None)
    await publish("b", "1")
    assert (await refused(publish("a", "1"))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_subscribing_to_one_topic_can_fail(gateway, subscribe, stubs, refused):
    gateway.faults.fail("Pubsub/Subscribe", "PERMISSION_DENIED", topic="a")
    await subscribe("b")
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    assert (await refused(stream.read())).code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("topics", [("a", None), (None, "a")])
async def test_of_several_plans_the_oldest_fails_a_call(gateway, publish, stubs, refused, topics):
    for method in ("Pubsub/PublishEvent", "Pubsub/Subscribe"):
        gateway.faults.fail(method, "ABORTED", topic=topics[0])
        gateway.faults.fail(method, "INTERNAL", topic=topics[1])
    for code in (grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL):
        assert (await refused(publish("a", "1"))).code() is code
        stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
        assert (await refused(stream.read())).code() is code


async def test_a_plan_fails_a_call_that_would_be_refused(gateway, publish, stubs, refused):
    gateway.faults.fail("*", "ABORTED", times=2)
    assert (await refused(publish("", "1"))).code() is grpc.StatusCode.ABORTED
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=[""]))
    assert (await refused(stream.read())).code() is grpc.StatusCode.ABORTED


async def test_a_delayed_call_is_carried_out_later(gateway, stubs, unit):
    gateway.faults.delay("State/GetState", 0.2 * unit)
    request = state_pb2.GetStateRequest(service="workmanager", key="k")
    began = time.monotonic()
    await stubs.state.GetState(request)
    assert time.monotonic() - began >= 0.2 * unit


async def test_lifting_a_delay_lets_calls_go_on(gateway, stubs, unit):
    plan = gateway.faults.delay("State/GetState", 1000 * unit, times=None)
    request = state_pb2.GetStateRequest(service="workmanager", key="k")
    calls = [asyncio.ensure_future(stubs.state.GetState(request)) for _ in range(3)]
    done, _ = await asyncio.wait(calls, timeout=0.1 * unit)
    assert not done
    assert plan.used == 3
    plan.lift()
    assert [reply.key for reply in await asyncio.gather(*calls)] == ["k"] * 3


async def test_a_plan_can_be_lifted_from_another_thread(gateway, stubs, unit):
    plan = gateway.faults.delay("State/GetState", 1000 * unit)
    request = state_pb2.GetStateRequest(service="workmanager", key="k")
    call = asyncio.ensure_future(stubs.state.GetState(request))
    await until(lambda: plan.used)
    # Not awaited: else the end of the thread would wake the loop.
    lifting = threading.Thread(target=plan.lift)
    lifting.start()
    assert (await asyncio.wait_for(call, 5 * unit)).key == "k"
    lifting.join()
    assert (plan.over, plan.used) == (True, 1)


def test_a_plan_can_be_lifted_after_its_loop_has_ended():
    plan = ActivePlan(Spec("delay", seconds=1), frozenset())

    async def wait():
        # Left open, as by a call that its loop did not finish.
        waits.append(plan.wait_lifted())
        waits[0].__enter__()

    waits = []
    asyncio.run(wait())
    plan.lift()
    assert plan.lifted


async def test_a_call_can_be_delayed_and_then_fail(gateway, stubs, refused, unit):
    gateway.faults.delay("State/GetState", 0.1 * unit)
    gateway.faults.fail("State/GetState", "ABORTED")
    request = state_pb2.GetStateRequest(service="workmanager", key="k")
    began = time.monotonic()
    assert (await refused(stubs.state.GetState(request))).code() is grpc.StatusCode.ABORTED
    assert time.monotonic() - began >= 0.1 * unit


async def test_a_plan_can_be_lifted_twice(gateway, stubs):
    plan = gateway.faults.fail("State/GetState", "ABORTED", times=None)
    plan.lift()
    plan.lift()
    await stubs.state.GetState(state_pb2.GetStateRequest(service="workmanager", key="k"))
    assert (plan.over, plan.used) == (True, 0)
