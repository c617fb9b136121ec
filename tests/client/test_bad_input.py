"""Bad input gets a clear error before anything is sent, and loses nothing."""

import asyncio
import math
import socket
import threading
from datetime import datetime, timedelta, timezone

import pytest

from tests.client.conftest import UNIT
from tests.client.scripted import WIRE
from tests.layouts import make_emulator
from virtufin.api.client import (
    ApiClient,
    ClientClosedError,
    InvalidInputError,
    InvalidReplyError,
    ResourceExhaustedError,
    StreamEventHandler,
    UnauthenticatedError,
    UnavailableError,
    WrongLoopError,
)

NAIVE = datetime.fromisoformat("2026-01-01")
BEYOND = datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))
CIRCULAR = {}
CIRCULAR["self"] = CIRCULAR


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


async def yielding(event):
    yield event


BAD = {
    "empty topic": (lambda c: c.pubsub.publish_async("", "d"), "topic must not be empty"),
    "topic of another type": (lambda c: c.pubsub.publish_async(5, "d"), "topic must be text"),
    "topic that is no Unicode": (lambda c: c.pubsub.publish_async("\ud800", "d"), "Unicode"),
    "data JSON cannot hold": (lambda c: c.pubsub.publish_async("t", object()), "JSON"),
    "a set": (lambda c: c.pubsub.publish_async("t", {1, 2}), "JSON"),
    "NaN": (lambda c: c.pubsub.publish_async("t", {"x": math.nan}), "JSON"),
    "infinity": (lambda c: c.pubsub.publish_async("t", [math.inf]), "JSON"),
    "a key that is no text": (lambda c: c.pubsub.publish_async("t", {1: "x"}), "keys are text"),
    "a nested key that is no text": (
        lambda c: c.pubsub.publish_async("t", {"a": [{None: 1}]}),
        r"data\['a'\]\[0\].*keys are text",
    ),
    "data that contains itself": (lambda c: c.pubsub.publish_async("t", CIRCULAR), "itself"),
    "text that is no Unicode": (lambda c: c.pubsub.publish_async("t", "\ud800"), "Unicode"),
    "JSON text that is no Unicode": (lambda c: c.pubsub.publish_async("t", ["\ud800"]), "Unicode"),
    "illegal attribute name": (
        lambda c: c.pubsub.publish_async("t", "d", {"Trace-Id": "x"}),
        "'traceid' would be legal",
    ),
    "illegal extension name": (
        lambda c: c.pubsub.publish_async("t", "d", extensions={"run_id": "x"}),
        "'runid' would be legal",
    ),
    "name without a legal letter": (
        lambda c: c.pubsub.publish_async("t", "d", {"---": "x"}),
        "not a legal CloudEvents attribute name",
    ),
    "attribute name that is no text": (
        lambda c: c.pubsub.publish_async("t", "d", {5: "x"}),
        "attribute names are text",
    ),
    "reserved attribute name": (
        lambda c: c.pubsub.publish_async("t", "d", {"source": "x"}),
        "'ce-source' in metadata",
    ),
    "metadata value that is no text": (
        lambda c: c.pubsub.publish_async("t", "d", {"runid": 5}),
        "must be text",
    ),
    "metadata that is no mapping": (
        lambda c: c.pubsub.publish_async("t", "d", ["runid"]),
        "must be a mapping",
    ),
    "keyword and ce- key that differ": (
        lambda c: c.pubsub.publish_async("t", "d", {"ce-type": "a"}, type="b"),
        "given twice and differs",
    ),
    "correlation ids that differ": (
        lambda c: c.pubsub.publish_async("t", "d", {"correlationid": "a"}, correlation_id="b"),
        "correlation_id is given twice",
    ),
    "another CloudEvents version": (
        lambda c: c.pubsub.publish_async("t", "d", {"ce-specversion": "0.3"}),
        "ce-specversion must be '1.0'",
    ),
    "empty source": (lambda c: c.pubsub.publish_async("t", "d", source=""), "source must not"),
    "time that is none": (
        lambda c: c.pubsub.publish_async("t", "d", {"ce-time": "yesterday"}),
        "RFC 3339",
    ),
    "extension of 64 bits": (
        lambda c: c.pubsub.publish_async("t", "d", extensions={"n": 2**40}),
        "32 bits",
    ),
    "extension without a time zone": (
        lambda c: c.pubsub.publish_async("t", "d", extensions={"at": NAIVE}),
        "time zone",
    ),
    "extension of no CloudEvents type": (
        lambda c: c.pubsub.publish_async("t", "d", extensions={"price": 1.5}),
        "must be text",
    ),
    "ready event beside keywords": (
        lambda c: c.pubsub.publish_async(
            "t", WIRE["Pubsub.PublishEvent"].request().cloudevent, type="x"
        ),
        "goes out untouched",
    ),
    "another message": (
        lambda c: c.pubsub.publish_async("t", WIRE["State.GetState"].request()),
        "SerializeToString",
    ),
    "empty topic among several": (lambda c: c.pubsub.subscribe_async(["a", ""]), "topics must"),
    "topics that are none": (lambda c: c.pubsub.subscribe_async(5), "topics must"),
    "bytes as topics": (lambda c: c.pubsub.subscribe_async(b"abc"), "topics must"),
    "topic and topics": (lambda c: c.pubsub.subscribe_async("a", topic="b"), "not both"),
    "handler that is a class": (
        lambda c: c.subscribe_async_with_handler(StreamEventHandler),
        "is the class",
    ),
    "handler that yields": (lambda c: c.subscribe_async_with_handler(yielding), "must not yield"),
    "on_error that is none": (
        lambda c: c.subscribe_async_with_handler(StreamEventHandler(print, on_error=5)),
        "on_error must",
    ),
    "handler that is none": (lambda c: c.subscribe_async_with_handler(5), "handler must"),
    "concurrency of nothing": (
        lambda c: c.subscribe_async_with_handler(print, max_concurrency=0),
        "max_concurrency",
    ),
    "concurrency that is no number": (
        lambda c: c.subscribe_async_with_handler(print, max_concurrency="2"),
        "max_concurrency",
    ),
    "responder that is none": (lambda c: c.pubsub.respond("t", None), "handler must"),
    "empty reply topic": (lambda c: c.pubsub.publish_with_result_async("t", 1, ""), "reply_topic"),
    "empty key": (lambda c: c.get_state_async("workmanager", ""), "key must not be empty"),
    "key of another type": (lambda c: c.get_state_async("workmanager", 5), "key must be text"),
    "key with Dapr's separator": (lambda c: c.get_state_async("workmanager", "a||b"), r"'\|\|'"),
    "keys that are none": (lambda c: c.register_keys_async("workmanager", 7), "keys must"),
    "one key that is no text": (
        lambda c: c.register_keys_async("workmanager", ["a", 1]),
        "keys must be text",
    ),
    "value that is no text": (
        lambda c: c.save_state_async("workmanager", "k", {"a": 1}),
        r"json\.dumps",
    ),
    "etag that is no text": (
        lambda c: c.save_state_async("workmanager", "k", "v", 5),
        "etag must be text",
    ),
    "query that is no JSON": (lambda c: c.state.query("workmanager", "{"), "query is not JSON"),
    "negative limit": (lambda c: c.state.query("workmanager", limit=-1), "limit"),
    "attempts of nothing": (
        lambda c: c.state.update("workmanager", "k", str, attempts=0),
        "attempts",
    ),
    "empty service": (lambda c: c.invoke_async("", "M", {}), "service must not be empty"),
    "empty method": (lambda c: c.invoke_async("workmanager", "", {}), "method must not be empty"),
    "request that is no dict": (lambda c: c.invoke_async("workmanager", "M", [1]), "dict"),
    "request JSON cannot hold": (
        lambda c: c.invoke_async("workmanager", "M", {"a": object()}),
        "request cannot be sent as JSON",
    ),
    "raw request that is no bytes": (
        lambda c: c.gateway.invoke_raw_async("workmanager", "M", "text"),
        "must be bytes",
    ),
    "query that is neither": (lambda c: c.state.query("workmanager", 5), "query must be"),
    "query nested too deeply": (
        lambda c: c.state.query("workmanager", "[" * 100_000),
        "query is not JSON",
    ),
    "switch that is none": (
        lambda c: c.save_state_async("workmanager", "k", "v", include_value="x"),
        "include_value must be True or False",
    ),
    "function that is none": (lambda c: c.state.update("workmanager", "k", 5), "function must"),
    "extensions that are none": (
        lambda c: c.pubsub.publish_async("t", "d", extensions=5),
        "extensions must be a mapping",
    ),
    "request metadata that is none": (
        lambda c: c.pubsub.publish_with_result_async("t", "d", "r", metadata=5),
        "metadata must be a mapping",
    ),
    "request that would be its own reply": (
        lambda c: c.pubsub.publish_with_result_async("t", "d", "t"),
        "its own reply",
    ),
    "reply to nothing": (lambda c: c.pubsub.reply_async(None, "d"), "must be a PubsubEvent"),
    "time beyond the calendar": (
        lambda c: c.pubsub.publish_async("t", "d", extensions={"at": BEYOND}),
        "out of range",
    ),
    "request that cannot even be shown": (
        lambda c: c.invoke_async("workmanager", "M", nested(100_000)),
        "must be a dict",
    ),
    "integer that cannot even be shown": (
        lambda c: c.pubsub.publish_async("t", "d", extensions={"n": 10**5000}),
        "32 bits",
    ),
    "timeout that is no number": (lambda c: c.list_services_async(timeout="5"), "timeout"),
    "negative timeout": (lambda c: c.list_services_async(timeout=-1), "timeout"),
    "NaN as timeout": (lambda c: c.list_services_async(timeout=math.nan), "timeout"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_before_anything_is_sent(scripted, connect, case):
    call, message = BAD[case]
    client = connect(scripted)
    with pytest.raises(InvalidInputError, match=message) as caught:
        await call(client)
    assert isinstance(caught.value, ValueError)
    assert scripted.headers == []


async def test_a_refused_publish_loses_no_other_event(gateway, client):
    async with client.pubsub.subscribe_async_iter("t") as subscription:
        await client.pubsub.publish_async("t", "one")
        with pytest.raises(InvalidInputError):
            await client.pubsub.publish_async("t", {"x": math.nan})
        await client.pubsub.publish_async("t", "two")
        assert [(await anext(subscription)).data_as_text() for _ in range(2)] == ["one", "two"]


async def test_a_message_above_the_limit_is_refused_here(scripted, connect):
    client = connect(scripted, max_message_bytes=1000)
    with pytest.raises(InvalidInputError, match="max_message_bytes"):
        await client.pubsub.publish_async("t", "x" * 2000)
    assert not [path for path, _ in scripted.headers if "Publish" in path]


async def test_a_reply_above_the_limit_says_what_to_raise(gateway, connect):
    await connect(gateway).save_state_async("workmanager", "k", "x" * 2000)
    client = connect(gateway, max_message_bytes=1000)
    with pytest.raises(ResourceExhaustedError, match="max_message_bytes"):
        await client.get_state_async("workmanager", "k")


CALLS_AFTER_CLOSE = {
    "unary": lambda c: c.list_services_async(),
    "publish": lambda c: c.pubsub.publish_async("t", "d"),
    "subscribe": lambda c: c.pubsub.subscribe_async("t"),
    "handler": lambda c: c.subscribe_async_with_handler(print),
    "iterate": lambda c: anext(c.pubsub.subscribe_async_iter("t")),
    "request": lambda c: c.pubsub.publish_with_result_async("t", "d", "r"),
    "respond": lambda c: c.pubsub.respond("t", print),
    "connect": lambda c: c.connect(),
    "async with": lambda c: c.__aenter__(),
}


@pytest.mark.parametrize("opened", [True, False], ids=["used before", "never used"])
@pytest.mark.parametrize("call", CALLS_AFTER_CLOSE)
async def test_use_after_close_says_that_the_client_is_closed(gateway, connect, call, opened):
    client = connect(gateway)
    if opened:
        await client.list_services_async()
    await client.close()
    with pytest.raises(ClientClosedError, match="closed"):
        await CALLS_AFTER_CLOSE[call](client)


async def test_a_live_subscription_used_from_another_loop_is_detected(gateway, client):
    subscription = await client.pubsub.subscribe_async("t")
    handle = await client.subscribe_async_with_handler(print, topics="t")
    uses = [
        subscription.__anext__,
        subscription.ready,
        subscription.wait_closed,
        subscription.aclose,
        handle.ready,
        handle.cancel,
    ]
    caught = []

    async def use(method):
        await method()

    def elsewhere():
        for method in uses:
            try:
                asyncio.run(asyncio.wait_for(use(method), 5 * UNIT))
            except WrongLoopError:
                caught.append(method)

    await asyncio.to_thread(elsewhere)
    assert caught == uses
    await client.pubsub.publish_async("t", "still here")
    assert (await anext(subscription)).data_as_text() == "still here"
    await subscription.aclose()


async def test_use_from_another_loop_is_detected(gateway, connect):
    client = connect(gateway)
    await client.list_services_async()
    caught = []

    def elsewhere():
        for call in (client.list_services_async, client.close):
            try:
                asyncio.run(call())
            except WrongLoopError as error:
                caught.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(caught) == 2
    assert all("event loop" in text for text in caught)
    assert await client.list_services_async()


async def test_a_host_that_does_not_resolve_is_unavailable():
    async with ApiClient("no-such-host.invalid") as client:
        with pytest.raises(UnavailableError, match="is a gateway running there"):
            await client.list_services_async(timeout=10 * UNIT)


async def test_a_port_on_which_nothing_listens_is_unavailable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with ApiClient("127.0.0.1", taken.getsockname()[1]) as client:
            with pytest.raises(UnavailableError, match="is a gateway running there"):
                await client.list_services_async(timeout=10 * UNIT)


async def test_a_server_that_is_not_grpc_is_unavailable():
    async def http(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(http, "127.0.0.1", 0)
    async with server, ApiClient("127.0.0.1", server.sockets[0].getsockname()[1]) as client:
        with pytest.raises(UnavailableError, match="native gRPC port"):
            await client.list_services_async(timeout=10 * UNIT)


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_a_missing_or_wrong_api_key_says_how_to_set_it(connect, key):
    async with make_emulator(api_keys=["right"]) as gateway:
        with pytest.raises(UnauthenticatedError, match="VIRTUFIN_API_KEY"):
            await connect(gateway, api_key=key).list_services_async()
        assert await connect(gateway, api_key="right").list_services_async()


async def test_a_reply_that_is_not_json_is_an_invalid_reply(scripted, connect):
    async def reply(request, context):
        return WIRE["Gateway.InvokeJson"].response(success=True, response_data="{not json")

    scripted.answer("Gateway.InvokeJson", reply)
    with pytest.raises(InvalidReplyError, match="not JSON") as caught:
        await connect(scripted).invoke_async("workmanager", "Any", {})
    assert isinstance(caught.value, ValueError)
    assert caught.value.service == "workmanager"


async def test_a_reply_nested_too_deeply_is_an_invalid_reply(scripted, connect):
    async def reply(request, context):
        return WIRE["Gateway.InvokeJson"].response(success=True, response_data="[" * 200_000)

    scripted.answer("Gateway.InvokeJson", reply)
    with pytest.raises(InvalidReplyError):
        await connect(scripted).invoke_async("workmanager", "Any", {})


async def test_a_reply_of_another_message_is_an_invalid_reply(scripted, connect):
    async def garbage(request, context):
        return b"\xff\xff\xff"

    scripted.answer("State.GetState", garbage)
    with pytest.raises(InvalidReplyError, match=r"virtufin\.GetStateResponse"):
        await connect(scripted).get_state_async("workmanager", "k")


async def test_an_event_of_another_message_ends_the_subscription_visibly(scripted, connect):
    async def garbage(request, context):
        yield b"\xff\xff\xff"

    scripted.answer("Pubsub.Subscribe", garbage)
    subscription = connect(scripted).pubsub.subscribe_async_iter("t")
    with pytest.raises(InvalidReplyError, match=r"virtufin\.SubscribeResponse"):
        await anext(subscription)
    with pytest.raises(InvalidReplyError):
        await subscription.wait_closed()
