"""Opening, closing, keys, TLS, channels, interceptors, retries."""

import asyncio
import gc
import logging
import socket

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2

from tests.client.conftest import UNIT
from tests.client.scripted import WIRE
from tests.layouts import make_emulator
from virtufin.api.client import (
    ApiClient,
    CallCancelledError,
    ClientClosedError,
    InternalError,
    InvalidInputError,
    RetrySettings,
    SubscriptionSettings,
    UnauthenticatedError,
    UnavailableError,
    Wire,
)


async def test_connect_returns_once_the_gateway_answers(gateway, client):
    await client.connect()
    assert await client.list_services_async() == ["workmanager", "websocketmanager"]


async def test_connect_waits_for_a_gateway_that_starts_later(connect, unused_port):
    emulator = make_emulator(port=unused_port)
    client = connect(emulator)
    connecting = asyncio.create_task(client.connect(timeout=20 * UNIT))
    await asyncio.sleep(0.1 * UNIT)
    assert not connecting.done()
    async with emulator:
        await connecting
        assert await client.list_services_async()


async def test_connect_accepts_a_gateway_without_health_service(scripted, connect):
    await connect(scripted).connect()
    assert [method for method, _ in scripted.headers] == ["/grpc.health.v1.Health/Check"]


async def test_connect_waits_for_a_gateway_that_does_not_serve_yet(scripted, connect):
    answers = [b"\x08\x02", b"\x08\x01"]
    health = Wire.from_files([health_pb2.DESCRIPTOR], origin="grpc")["Health.Check"]

    async def check(request, context):
        return answers.pop(0)

    scripted.methods[health.path] = (health, check)
    await connect(scripted).connect()
    assert answers == []


async def test_connect_says_that_the_gateway_is_not_serving(scripted, connect):
    health = Wire.from_files([health_pb2.DESCRIPTOR], origin="grpc")["Health.Check"]

    async def check(request, context):
        return b"\x08\x02"

    scripted.methods[health.path] = (health, check)
    with pytest.raises(UnavailableError, match="not serving"):
        await connect(scripted).connect(timeout=0.3 * UNIT)


async def test_connect_raises_the_last_error_if_no_gateway_answers():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with ApiClient("127.0.0.1", taken.getsockname()[1]) as client:
            with pytest.raises(UnavailableError, match=r"127\.0\.0\.1"):
                await client.connect(timeout=0.3 * UNIT)


async def test_async_with_does_not_wait_for_the_gateway():
    async with ApiClient("127.0.0.1", 1) as client:
        assert not client.closed
    assert client.closed


async def test_close_twice_is_no_error(gateway, client):
    await client.list_services_async()
    await asyncio.gather(client.close(), client.close())
    await client.close()
    assert client.closed


async def test_a_call_in_flight_fails_when_the_client_is_closed(scripted, connect, hanging):
    client = connect(scripted)
    task = asyncio.create_task(client.get_state_async("workmanager", "k"))
    await hanging.began.wait()
    await client.close()
    with pytest.raises(ClientClosedError, match="during the call"):
        await task


async def test_a_task_cancelled_while_the_client_closes_is_cancelled(scripted, connect, hanging):
    client = connect(scripted)
    task = asyncio.create_task(client.get_state_async("workmanager", "k"))
    await hanging.began.wait()
    task.cancel()
    await client.close()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_ends_an_iteration_normally(gateway, client):
    received, data = asyncio.Event(), []

    async def watch():
        async for event in client.pubsub.subscribe_async_iter("t"):
            data.append(event.data)
            received.set()

    task = asyncio.create_task(watch())
    await client.pubsub.publish_async("t", "one")
    await received.wait()
    await client.close()
    await task
    assert data == [b"one"]


@pytest.mark.parametrize("max_concurrency", [1, 2])
async def test_a_handler_may_close_the_client(gateway, connect, max_concurrency):
    client, other = connect(gateway), connect(gateway)
    closed = asyncio.Event()

    async def handler(event):
        await client.close()
        closed.set()

    handle = await client.subscribe_async_with_handler(
        handler, topics="t", max_concurrency=max_concurrency
    )
    await other.pubsub.publish_async("t", "stop")
    await asyncio.wait_for(closed.wait(), 5 * UNIT)
    await asyncio.wait_for(handle.wait_closed(), 5 * UNIT)
    assert client.closed
    assert handle.handler_errors == 0


async def test_an_api_key_function_is_called_at_every_call(connect):
    keys = iter(["first", "second", "wrong"])
    async with make_emulator(api_keys=["first", "second"]) as gateway:
        client = connect(gateway, api_key=lambda: next(keys))
        await client.list_services_async()
        await client.list_services_async()
        with pytest.raises(UnauthenticatedError):
            await client.list_services_async()


async def test_an_api_key_function_may_be_async(connect):
    async def key():
        await asyncio.sleep(0)
        return "secret"

    async with make_emulator(api_keys=["secret"]) as gateway:
        assert await connect(gateway, api_key=key).list_services_async()


async def test_an_api_key_function_that_returns_no_key_is_an_error_that_says_so(gateway, connect):
    with pytest.raises(InvalidInputError, match="api_key"):
        await connect(gateway, api_key=lambda: None).list_services_async()


async def test_a_subscription_fetches_a_rotated_key_once_more(connect):
    keys = iter(["expired", "current"])
    async with make_emulator(api_keys=["current"]) as gateway:
        client = connect(gateway, api_key=lambda: next(keys, "current"))
        subscription = await client.pubsub.subscribe_async("t")
        assert subscription.confirmed
        await subscription.aclose()


async def test_a_subscription_gives_up_on_a_second_refusal_of_a_rotated_key(connect):
    keys = []
    async with make_emulator(api_keys=["current"]) as gateway:
        client = connect(gateway, api_key=lambda: keys.append(1) or "expired")
        with pytest.raises(UnauthenticatedError):
            await client.pubsub.subscribe_async("t", timeout=10 * UNIT)
    assert len(keys) == 2


async def test_a_key_in_plain_text_to_another_host_is_warned_of_once(caplog):
    async with ApiClient("gateway.invalid", api_key="secret") as client:
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await client.list_services_async(timeout=5 * UNIT)
    warnings = [record for record in caplog.records if "unencrypted" in record.getMessage()]
    assert len(warnings) == 1
    assert "secret" not in warnings[0].getMessage()


async def test_a_key_to_this_host_is_not_warned_of(gateway, connect, caplog):
    await connect(gateway, api_key="secret").list_services_async()
    assert "unencrypted" not in caplog.text


async def test_metadata_and_user_agent_go_with_every_call(scripted, connect):
    async def answer(request, context):
        return WIRE["State.GetState"].response()

    scripted.answer("State.GetState", answer)
    client = connect(scripted, metadata={"x-team": "quant", "x-blob-bin": b"\x00"})
    await client.get_state_async("workmanager", "k")
    headers = scripted.headers[0][1]
    assert headers["x-team"] == "quant"
    assert headers["x-blob-bin"] == b"\x00"
    assert headers["user-agent"].startswith("virtufin-api-python/")


async def test_a_borrowed_channel_is_used_and_left_open(gateway):
    async with aio.insecure_channel(gateway.target) as channel:
        async with ApiClient(channel=channel) as client:
            assert await client.list_services_async()
            async with client.pubsub.subscribe_async_iter("t") as subscription:
                await client.pubsub.publish_async("t", "x")
                assert (await anext(subscription)).data_as_text() == "x"
        async with ApiClient(channel=channel) as client:
            assert await client.list_services_async()


async def test_a_borrowed_channel_closed_by_its_owner_cancels_no_task(scripted, hanging):
    channel = aio.insecure_channel(f"{scripted.host}:{scripted.port}")
    async with ApiClient(channel=channel) as client:
        task = asyncio.create_task(client.get_state_async("workmanager", "k"))
        await hanging.began.wait()
        await channel.close()
        with pytest.raises(CallCancelledError):
            await task
        with pytest.raises(ClientClosedError, match="channel is closed"):
            await client.list_services_async()


async def test_a_subscription_on_a_channel_closed_by_its_owner_ends_without_a_cancellation(gateway):
    channel = aio.insecure_channel(gateway.target)
    async with ApiClient(channel=channel) as client:
        subscription = await client.pubsub.subscribe_async("t")
        waiting = asyncio.create_task(anext(subscription, "ended"))
        await asyncio.sleep(0)
        await channel.close()
    assert await asyncio.wait_for(waiting, 10 * UNIT) == "ended"


def _text(method):
    return method.decode() if isinstance(method, bytes) else method


class Recording(aio.UnaryUnaryClientInterceptor):
    """Notes the method of every call."""

    def __init__(self):
        self.methods = []

    async def intercept_unary_unary(self, continuation, details, request):
        self.methods.append(details.method)
        return await continuation(details, request)


class AddingHeader(aio.UnaryUnaryClientInterceptor):
    """Adds a header to every call."""

    def __init__(self, name):
        self._name = name

    async def intercept_unary_unary(self, continuation, details, request):
        metadata = aio.Metadata(*(details.metadata or ()), (self._name, "x"))
        return await continuation(details._replace(metadata=metadata), request)


class Raising(aio.UnaryUnaryClientInterceptor):
    """Raises an error of its own instead of calling."""

    async def intercept_unary_unary(self, continuation, details, request):
        raise LookupError("the interceptor's own")


async def test_interceptors_see_every_call(gateway, connect):
    recording = Recording()
    await connect(gateway, interceptors=[recording]).list_services_async()
    assert [_text(method) for method in recording.methods] == ["/virtufin.Gateway/ListServices"]


async def test_failures_behind_an_interceptor_are_our_errors(scripted, connect):
    scripted.fail("State.GetState", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(UnavailableError):
        await connect(scripted, interceptors=[Recording()]).get_state_async("workmanager", "k")


# grpcio 1.63 raises the interceptor's error once more when the call is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_error_of_an_interceptor_reaches_the_caller(gateway, connect):
    with pytest.raises(LookupError, match="own"):
        await connect(gateway, interceptors=[Raising()]).list_services_async()
    gc.collect()


async def test_a_call_behind_an_interceptor_is_cancelled_with_its_task(scripted, connect, hanging):
    client = connect(scripted, interceptors=[Recording()])
    task = asyncio.create_task(client.get_state_async("workmanager", "k"))
    await hanging.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(hanging.ended.wait(), 5 * UNIT)


async def test_a_call_that_only_reads_is_tried_again(gateway, client):
    gateway.faults.fail("State/GetState", grpc.StatusCode.UNAVAILABLE, times=2)
    assert not (await client.get_state_async("workmanager", "k"))["found"]


async def test_the_attempt_of_a_call_that_may_have_been_retried_is_not_reported(gateway, client):
    gateway.faults.fail("State/GetState", grpc.StatusCode.UNAVAILABLE, times=10)
    with pytest.raises(UnavailableError) as caught:
        await client.get_state_async("workmanager", "k")
    assert caught.value.attempt is None


async def test_a_call_that_breaks_inside_grpc_ends(gateway, connect):
    # gRPC rejects such a header only after the call has begun.
    client = connect(gateway, interceptors=[AddingHeader("two words")])
    with pytest.raises(InternalError, match="grpc could not carry out"):
        await asyncio.wait_for(client.list_services_async(), 5 * UNIT)


async def test_retries_can_be_switched_off(gateway, connect):
    gateway.faults.fail("State/GetState", grpc.StatusCode.UNAVAILABLE)
    client = connect(gateway, retry=RetrySettings(max_attempts=1))
    with pytest.raises(UnavailableError):
        await client.get_state_async("workmanager", "k")


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("State/SaveState", lambda c: c.save_state_async("workmanager", "k", "v")),
        ("Pubsub/PublishEvent", lambda c: c.pubsub.publish_async("t", "d")),
        ("Gateway/InvokeJson", lambda c: c.invoke_async("workmanager", "ListWorkers")),
    ],
)
async def test_a_call_that_changes_something_is_never_tried_again(gateway, client, method, call):
    gateway.faults.fail(method, grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(UnavailableError):
        await call(client)
    await call(client)


async def test_unary_calls_go_round_robin_over_several_addresses():
    async with make_emulator() as one, make_emulator() as two:
        target = f"ipv4:{one.target},{two.target}"
        async with ApiClient(target) as client:
            await client.connect()
            for number in range(40):
                await client.save_state_async("workmanager", f"k{number}", "v")
        async with ApiClient(one.host, one.port) as first:
            found = await first.state.get_bulk("workmanager", [f"k{n}" for n in range(40)])
        assert 0 < sum(item["found"] for item in found) < 40


async def test_a_unix_socket_is_a_gateway_too(tmp_path):
    path = tmp_path / "gw.sock"
    server = aio.server()

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details):
            method = WIRE["Gateway.ListServices"]

            async def answer(request, context):
                return method.response(services=["over-unix"])

            return grpc.unary_unary_rpc_method_handler(
                answer, method.request.FromString, method.response.SerializeToString
            )

    server.add_generic_rpc_handlers((Handlers(),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    async with ApiClient(f"unix:{path}") as client:
        assert await client.list_services_async() == ["over-unix"]
    await server.stop(0)


async def test_streams_spread_over_connections_before_a_server_lets_them_wait(connect):
    async with make_emulator(max_concurrent_streams=100) as gateway:
        client = connect(gateway, subscription=SubscriptionSettings(ready_wait=30 * UNIT))
        subscriptions = [client.pubsub.subscribe_async_iter(f"t{n}") for n in range(120)]
        ready = await asyncio.gather(*(each.ready() for each in subscriptions))
        assert all(ready)
        assert await client.list_services_async()
        await asyncio.gather(*(each.aclose() for each in subscriptions))


async def test_a_forgotten_client_leaves_no_error_behind(gateway, caplog):
    client = ApiClient(gateway.host, gateway.port)
    await client.list_services_async()
    del client
    gc.collect()
    await asyncio.sleep(0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
