"""A gateway of the earlier generation: flat events, Gateway.Subscribe, heartbeats."""

import asyncio

import grpc
import pytest

from tests.layouts import named_layout, without
from tests.reflection import V1, V1ALPHA, Reflection
from tests.timing import until

BOTH = ["Pubsub.Subscribe", "Gateway.Subscribe"]


@pytest.fixture
async def gateway(start):
    return await start(wire="earlier")


@pytest.fixture
async def speak(gateway, learn):
    return await learn(gateway)


@pytest.fixture
def publish(speak):
    """Publishes events with these texts."""

    async def send(topic, *texts, metadata=None):
        for text in texts:
            await speak(
                "Pubsub.PublishEvent", topic=topic, data=text.encode(), metadata=metadata or {}
            )

    return send


async def texts(stream, count):
    return [(await stream.read()).data.decode() for _ in range(count)]


EVENT = ["topic", "data", "metadata", "message_id", "timestamp"]


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("PublishRequest", EVENT),
        ("SubscribeResponse", EVENT),
        ("GatewaySubscribeRequest", ["services", "topics", "event_types"]),
        (
            "EventMessage",
            ["id", "source", "type", "spec_version", "data_content_type", "data", "topic"],
        ),
    ],
)
@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_reflection_describes_its_messages(gateway, describe, version, message, fields):
    pool = await describe(gateway, version, f"virtufin.{message}")
    there = pool.FindMessageTypeByName(f"virtufin.{message}").fields
    assert [(field.name, field.number) for field in there] == [
        (name, number) for number, name in enumerate(fields, start=1)
    ]


async def test_an_earlier_gateway_knows_no_cloudevents(gateway, speak, connect):
    client = Reflection(connect(gateway.target))
    with pytest.raises(LookupError):
        await client.files("io.cloudevents.v1.CloudEvent")
    imports = speak.pool.FindServiceByName("virtufin.Pubsub").file.dependencies
    assert [file.name for file in imports] == ["virtufin/api/protos/gateway.proto"]


async def test_an_event_keeps_payload_and_metadata(speak):
    stream = await speak.subscribe(topics=["a"])
    metadata = {
        "ce-id": "7",
        "ce-source": "urn:com.virtufin.orders",
        "ce-specversion": "1.0",
        "ce-type": "t",
        "ce-time": "2026-01-31T12:00:00Z",
        "ce-datacontenttype": "application/json",
        "ce-subject": "order/1",
        "correlationid": "c",
    }
    await speak("Pubsub.PublishEvent", topic="a", data=b"{}", metadata=metadata)
    item = await stream.read()
    assert (item.topic, item.data, dict(item.metadata)) == ("a", b"{}", metadata)
    assert (item.message_id, item.timestamp) == ("7", "2026-01-31T12:00:00Z")


async def test_bytes_that_are_no_text_pass(speak):
    stream = await speak.subscribe(topics=["a"])
    await speak("Pubsub.PublishEvent", topic="a", data=b"\xff\x00")
    assert (await stream.read()).data == b"\xff\x00"


@pytest.mark.parametrize("metadata", [{}, {"ce-id": "", "ce-time": ""}])
async def test_id_and_time_of_the_request_replace_missing_ones(speak, metadata):
    stream = await speak.subscribe(topics=["a"])
    await speak(
        "Pubsub.PublishEvent",
        topic="a",
        metadata=metadata,
        message_id="7",
        timestamp="2026-01-31T12:00:00Z",
    )
    item = await stream.read()
    assert (item.message_id, item.metadata["ce-id"]) == ("7", "7")
    assert (item.timestamp, item.metadata["ce-time"]) == (("2026-01-31T12:00:00Z",) * 2)


async def test_id_and_time_in_the_metadata_come_first(speak):
    stream = await speak.subscribe(topics=["a"])
    await speak("Pubsub.PublishEvent", topic="a", metadata={"ce-id": "7"}, message_id="8")
    assert (await stream.read()).message_id == "7"


async def test_publishing_without_topic_is_an_invalid_argument(publish, refused):
    assert (await refused(publish("", "x"))).code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", BOTH)
async def test_subscribing_to_an_empty_topic_is_an_invalid_argument(speak, refused, name):
    stream = speak(name, topics=["a", ""])
    assert (await refused(stream.read())).code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", BOTH)
async def test_a_stream_carries_its_topics(speak, publish, name):
    some, everything = await speak.subscribe(name, topics=["a"]), await speak.subscribe(name)
    await publish("b", "1")
    await publish("a", "2")
    assert await texts(some, 1) == ["2"]
    assert await texts(everything, 2) == ["1", "2"]


async def test_the_gateway_s_own_stream_carries_an_event_s_attributes(speak):
    stream = await speak.subscribe("Gateway.Subscribe")
    metadata = {
        "ce-id": "7",
        "ce-source": "urn:com.virtufin.orders",
        "ce-specversion": "1.0",
        "ce-type": "t",
        "ce-datacontenttype": "application/json",
    }
    await speak("Pubsub.PublishEvent", topic="a", data=b"{}", metadata=metadata)
    message = speak.wire["Gateway.Subscribe"].response
    assert await stream.read() == message(
        id="7",
        source="urn:com.virtufin.orders",
        type="t",
        spec_version="1.0",
        data_content_type="application/json",
        data=b"{}",
        topic="a",
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["1", "2", "3", "4"]),
        ({"services": ["a"]}, ["1", "2"]),
        ({"services": ["a", "b"]}, ["1", "2", "3"]),
        ({"event_types": ["t"]}, ["1", "3"]),
        ({"services": ["a"], "event_types": ["t", "x"]}, ["1"]),
        ({"services": ["missing"]}, []),
    ],
)
async def test_the_gateway_s_own_stream_filters(speak, publish, filters, expected):
    stream = await speak.subscribe("Gateway.Subscribe", topics=["t", "end"], **filters)
    for text, source, kind in [
        ("1", "urn:com.virtufin.a", "t"),
        ("2", "urn:com.virtufin.a", "u"),
        ("3", "urn:com.virtufin.b", "t"),
        ("4", "a", "u"),
    ]:
        await publish("t", text, metadata={"ce-source": source, "ce-type": kind})
    source = filters.get("services", ["x"])[0]
    last = {
        "ce-source": f"urn:com.virtufin.{source}",
        "ce-type": filters.get("event_types", ["x"])[0],
    }
    await publish("end", "end", metadata=last)
    assert await texts(stream, len(expected) + 1) == [*expected, "end"]


@pytest.mark.parametrize("name", BOTH)
async def test_a_plan_fails_a_stream_by_its_method(gateway, speak, refused, name):
    with gateway.faults.fail(name.replace(".", "/"), "ABORTED", times=None) as plan:
        stream = speak(name, topics=["a"])
        assert (await refused(stream.read())).code() is grpc.StatusCode.ABORTED
        for other in BOTH:
            if other != name:
                await speak.subscribe(other, topics=["a"])
        assert plan.used == 1


@pytest.mark.parametrize("name", BOTH)
async def test_a_plan_meets_a_stream_once(gateway, speak, unit, name):
    plan = gateway.faults.delay(name.replace(".", "/"), 0.01 * unit, times=None)
    await speak.subscribe(name, topics=["a"])
    assert plan.used == 1


@pytest.mark.parametrize("name", BOTH)
async def test_a_plan_fails_a_stream_by_its_topic(gateway, speak, refused, name):
    gateway.faults.fail(name.replace(".", "/"), "ABORTED", topic="a")
    await speak.subscribe(name, topics=["b"])
    stream = speak(name, topics=["a", "b"])
    assert (await refused(stream.read())).code() is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("name", BOTH)
async def test_a_plan_cuts_a_stream_after_its_events(gateway, speak, publish, refused, name):
    gateway.faults.cut_after(2, "ABORTED", topic="a")
    stream = await speak.subscribe(name, topics=["a"])
    assert gateway.faults.open_streams == 1
    await publish("a", "1", "2", "3")
    assert await texts(stream, 2) == ["1", "2"]
    assert (await refused(stream.read())).code() is grpc.StatusCode.ABORTED
    assert gateway.faults.open_streams == 0


async def test_events_that_are_filtered_out_are_not_counted_by_plans(
    gateway, speak, publish, refused
):
    gateway.faults.cut_after(1, "ABORTED")
    stream = await speak.subscribe("Gateway.Subscribe", event_types=["t"])
    await publish("a", "1", "2", metadata={"ce-type": "u"})
    await publish("a", "3", metadata={"ce-type": "t"})
    assert await texts(stream, 1) == ["3"]
    assert (await refused(stream.read())).code() is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("name", BOTH)
async def test_headers_can_be_held_until_the_first_event(gateway, speak, publish, unit, name):
    gateway.faults.hold_headers()
    stream = speak(name, topics=["a"])
    headers = asyncio.ensure_future(stream.initial_metadata())
    await until(lambda: gateway.faults.open_streams)
    done, _ = await asyncio.wait((headers,), timeout=0.1 * unit)
    assert not done
    await publish("a", "1")
    await asyncio.wait_for(headers, 5 * unit)


@pytest.fixture
async def beating(start, learn, unit):
    """A gateway with heartbeats, and what is spoken with it."""
    gateway = await start(wire="earlier", heartbeat=0.05 * unit)
    return gateway, await learn(gateway)


@pytest.mark.parametrize("name", BOTH)
async def test_idle_streams_have_heartbeats(beating, unit, name):
    _, speak = beating
    stream = await speak.subscribe(name, topics=["a"])
    for _ in range(3):
        beat = await asyncio.wait_for(stream.read(), 5 * unit)
        assert beat == speak.wire[name].response()


async def test_between_two_heartbeats_is_their_time(beating, unit):
    _, speak = beating
    loop = asyncio.get_running_loop()
    since = loop.time()
    stream = await speak.subscribe(topics=["a"])
    for _ in range(3):
        await stream.read()
    assert loop.time() - since >= 3 * 0.05 * unit


async def test_idle_streams_have_no_heartbeats_by_default(speak, unit):
    stream = await speak.subscribe(topics=["a"])
    done, _ = await asyncio.wait((asyncio.ensure_future(stream.read()),), timeout=0.2 * unit)
    assert not done


@pytest.mark.parametrize("name", BOTH)
async def test_events_come_between_heartbeats(beating, name):
    _, speak = beating
    stream = await speak.subscribe(name, topics=["a"])
    assert not (await stream.read()).data
    await speak("Pubsub.PublishEvent", topic="a", data=b"1")
    while not (item := await stream.read()).data:
        pass
    assert (item.topic, item.data) == ("a", b"1")


async def test_heartbeats_are_not_counted_by_plans(beating, refused):
    gateway, speak = beating
    gateway.faults.cut_after(1, "ABORTED")
    stream = await speak.subscribe(topics=["a"])
    for _ in range(3):
        assert not (await stream.read()).data
    await speak("Pubsub.PublishEvent", topic="a", data=b"1")
    while not (await stream.read()).data:
        pass
    assert (await refused(stream.read())).code() is grpc.StatusCode.ABORTED


async def test_a_stalled_stream_has_none(beating, unit):
    gateway, speak = beating
    plan = gateway.faults.stall()
    stream = await speak.subscribe(topics=["a"])
    reading = asyncio.ensure_future(stream.read())
    done, _ = await asyncio.wait((reading,), timeout=0.3 * unit)
    assert not done
    plan.lift()
    assert not (await asyncio.wait_for(reading, 5 * unit)).data


async def test_a_gateway_with_its_own_stream_only(start, learn):
    gateway = await start(wire=without(await named_layout("earlier"), "Pubsub.Subscribe"))
    speak = await learn(gateway)
    assert "Pubsub.Subscribe" not in speak.wire
    stream = await speak.subscribe("Gateway.Subscribe", topics=["a"])
    await speak("Pubsub.PublishEvent", topic="a", data=b"1")
    assert await texts(stream, 1) == ["1"]


async def test_a_current_gateway_does_not_have_that_stream(start, connect, refused):
    channel = connect((await start()).target)
    call = channel.unary_unary("/virtufin.Gateway/Subscribe")(b"")
    assert (await refused(call)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_unsubscribing_answers_not_found_in_band(speak):
    status = (await speak("Pubsub.Unsubscribe", subscription_id="x")).status
    assert (status.success, status.status) == (False, "NOT_FOUND")
