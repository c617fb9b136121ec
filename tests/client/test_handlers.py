"""Subscriptions that call a handler."""

import asyncio
import contextlib
import subprocess
import sys
import threading

import grpc
import pytest

from tests.client.conftest import UNIT, until
from tests.layouts import make_emulator
from virtufin.api.client import (
    EventHandler,
    InvalidInputError,
    PermissionDeniedError,
    StreamEventHandler,
    StreamFailedError,
    StreamInterruptedError,
    SubscriptionSettings,
    SubscriptionState,
    UnauthenticatedError,
    VirtufinError,
)


class Collecting:
    """A handler object that notes what it gets."""

    def __init__(self):
        self.events = []
        self.errors = []

    def on_event(self, event):
        self.events.append(event)

    def on_error(self, error):
        self.errors.append(error)


async def test_a_plain_function_handles_events(client):
    seen = []
    await client.subscribe_async_with_handler(seen.append, topics="t")
    await client.pubsub.publish_async("t", "x")
    await until(lambda: seen)
    assert seen[0].data_as_text() == "x"


async def test_a_coroutine_function_handles_events(client):
    seen = []

    async def handler(event):
        await asyncio.sleep(0)
        seen.append(event)

    await client.pubsub.subscribe_async_with_handler(handler, topics=["t"])
    await client.pubsub.publish_async("t", "x")
    await until(lambda: seen)


async def test_an_object_handles_events_and_errors(gateway, client):
    handler = Collecting()
    assert isinstance(handler, EventHandler)
    await client.subscribe_async_with_handler(handler)
    await client.pubsub.publish_async("t", "x")
    await until(lambda: handler.events)
    gateway.faults.cut_streams()
    await until(lambda: handler.errors)
    assert isinstance(handler.errors[0], StreamInterruptedError)


async def test_an_object_with_coroutine_methods_handles_events_and_errors(gateway, client):
    seen = []

    class Handler:
        async def on_event(self, event):
            seen.append(event)

        async def on_error(self, error):
            seen.append(error)

    await client.subscribe_async_with_handler(Handler(), topics="t")
    await client.pubsub.publish_async("t", "x")
    await until(lambda: seen)
    gateway.faults.cut_streams()
    await until(lambda: len(seen) == 2)


async def test_stream_event_handler_wraps_functions(gateway, client):
    events, errors = [], []
    handler = StreamEventHandler(on_event=events.append, on_error=errors.append)
    await client.subscribe_async_with_handler(handler, topics="t")
    await client.pubsub.publish_async("t", "x")
    await until(lambda: events)
    gateway.faults.cut_streams()
    await until(lambda: errors)


async def test_the_positional_order_is_services_topics_event_types(client):
    seen = []
    await client.subscribe_async_with_handler(seen.append, ["workmanager"], ["t"], ["wanted"])
    await client.pubsub.publish_async("t", "1", type="wanted")
    await client.pubsub.publish_async("t", "2", source="urn:com.virtufin.workmanager")
    await client.pubsub.publish_async(
        "t", "3", source="urn:com.virtufin.workmanager", type="wanted"
    )
    await until(lambda: seen)
    assert [event.data_as_text() for event in seen] == ["3"]


async def test_filters_take_one_text_too(client):
    seen = []
    await client.subscribe_async_with_handler(seen.append, services="client", topic="t")
    await client.pubsub.publish_async("t", "other", source="urn:com.virtufin.other")
    await client.pubsub.publish_async("t", "mine")
    await until(lambda: seen)
    assert [event.data_as_text() for event in seen] == ["mine"]


@pytest.mark.slow
async def test_a_raising_handler_goes_on_with_the_next_thousand_events(swift, client, caplog):
    handled = []
    errors = []

    class Handler:
        def on_event(self, event):
            handled.append(event)
            raise LookupError(event.data_as_text())

        def on_error(self, error):
            errors.append(error)

    handle = await client.subscribe_async_with_handler(Handler(), topics="t")
    for number in range(1001):
        await client.pubsub.publish_async("t", str(number))
    await until(lambda: len(errors) == 1001)
    assert [str(error) for error in errors] == [f"{number}" for number in range(1001)]
    assert handle.handler_errors == 1001
    assert handle.state is SubscriptionState.LIVE
    assert "handler failed on event" in caplog.text


async def test_a_raising_on_error_is_logged_and_goes_on(client, caplog):
    handled = []

    class Handler:
        def on_event(self, event):
            handled.append(event)
            raise LookupError("event")

        def on_error(self, error):
            raise LookupError("error")

    await client.subscribe_async_with_handler(Handler(), topics="t")
    for _ in range(2):
        await client.pubsub.publish_async("t", "x")
    await until(lambda: len(handled) == 2)
    assert "on_error failed" in caplog.text


async def test_the_errors_of_a_handler_do_not_touch_another(client):
    seen = []

    def broken(event):
        raise LookupError("mine")

    await client.subscribe_async_with_handler(broken, topics="t")
    await client.subscribe_async_with_handler(seen.append, topics="t")
    for _ in range(3):
        await client.pubsub.publish_async("t", "x")
    await until(lambda: len(seen) == 3)


async def test_handling_a_single_event_at_a_time_keeps_the_order(client):
    order = []

    async def handler(event):
        number = int(event.data_as_text())
        await asyncio.sleep(0.02 * UNIT if number == 0 else 0)
        order.append(number)

    await client.subscribe_async_with_handler(handler, topics="t")
    for number in range(5):
        await client.pubsub.publish_async("t", str(number))
    await until(lambda: len(order) == 5)
    assert order == list(range(5))


async def test_max_concurrency_bounds_what_runs_at_a_time(client):
    running, highest, done = 0, 0, 0
    release = asyncio.Semaphore(0)

    async def handler(event):
        nonlocal running, highest, done
        running += 1
        highest = max(highest, running)
        await release.acquire()
        running -= 1
        done += 1

    handle = await client.subscribe_async_with_handler(handler, topics="t", max_concurrency=3)
    for _ in range(12):
        await client.pubsub.publish_async("t", "x")
    await until(lambda: handle.stats.received == 12)
    await until(lambda: running == 3)
    for finished in range(12):
        release.release()
        await until(lambda finished=finished: done == finished + 1)
    assert highest == 3


async def test_cancel_ends_the_stream_and_the_handler(gateway, client):
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(event):
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    handle = await client.subscribe_async_with_handler(handler, topics="t", max_concurrency=2)
    await client.pubsub.publish_async("t", "x")
    await began.wait()
    await handle.cancel()
    await handle.cancel()
    assert ended.is_set()
    assert handle.state is SubscriptionState.CLOSED
    await handle.wait_closed()
    await until(lambda: gateway.faults.open_streams == 0)


async def test_a_handler_may_cancel_its_own_subscription(client):
    handles = []
    seen = []

    async def handler(event):
        seen.append(event)
        await handles[0].cancel()

    handles.append(await client.subscribe_async_with_handler(handler, topics="t"))
    await client.pubsub.publish_async("t", "1")
    await asyncio.wait_for(handles[0].wait_closed(), 5 * UNIT)
    assert len(seen) == 1
    assert handles[0].handler_errors == 0


async def test_closing_the_client_cancels_a_busy_handler_without_an_error(client, caplog):
    began = asyncio.Event()
    outcomes = []

    async def handler(event):
        began.set()
        try:
            await client.pubsub.publish_with_result_async("unanswered", "d", "r")
        except BaseException as error:
            outcomes.append(type(error))
            raise

    await client.subscribe_async_with_handler(handler, topics="t", max_concurrency=2)
    await client.pubsub.publish_async("t", "x")
    await began.wait()
    await client.close()
    assert outcomes == [asyncio.CancelledError]
    assert "handler failed" not in caplog.text


async def test_a_handler_cannot_wait_for_its_own_end(client):
    handles, errors = [], []

    async def on_event(event):
        await handles[0].wait_closed()

    handler = StreamEventHandler(on_event=on_event, on_error=errors.append)
    handles.append(await client.subscribe_async_with_handler(handler, topics="t"))
    await client.pubsub.publish_async("t", "x")
    await until(lambda: errors)
    assert isinstance(errors[0], InvalidInputError)


async def test_a_cancellation_raised_by_on_error_is_logged_and_not_the_end(client, caplog):
    handled = []

    def on_event(event):
        handled.append(event)
        raise LookupError("event")

    async def on_error(error):
        inner = asyncio.create_task(asyncio.sleep(60))
        inner.cancel()
        await inner

    handler = StreamEventHandler(on_event=on_event, on_error=on_error)
    await client.subscribe_async_with_handler(handler, topics="t")
    for _ in range(3):
        await client.pubsub.publish_async("t", "x")
    await until(lambda: len(handled) == 3)
    await until(lambda: caplog.text.count("on_error failed") == 3)


async def test_async_with_cancels_at_its_end(client):
    async with await client.subscribe_async_with_handler(print, topics="t") as handle:
        assert handle.confirmed
        assert handle.stats.attempts == 1
    assert handle.state is SubscriptionState.CLOSED


async def test_a_later_failure_goes_to_on_error_and_wait_closed(connect):
    handler = Collecting()
    gateway = make_emulator()
    async with gateway:
        client = connect(gateway)
        handle = await client.subscribe_async_with_handler(handler, topics="t")
        gateway.faults.fail("Pubsub/Subscribe", grpc.StatusCode.UNAUTHENTICATED)
        gateway.faults.cut_streams()
        with pytest.raises(UnauthenticatedError):
            await handle.wait_closed()
    assert isinstance(handler.errors[-1], StreamFailedError)
    assert handle.state is SubscriptionState.FAILED


async def test_handlers_run_in_the_thread_of_the_loop(client):
    threads = []
    await client.subscribe_async_with_handler(
        lambda event: threads.append(threading.current_thread()), topics="t"
    )
    await client.pubsub.publish_async("t", "x")
    await until(lambda: threads)
    assert threads == [threading.current_thread()]


async def test_ready_of_a_handle_says_whether_the_gateway_confirmed(client):
    handle = await client.subscribe_async_with_handler(print, topics="t")
    assert await handle.ready()
    assert await handle.ready(0.1 * UNIT)


@pytest.mark.parametrize("max_concurrency", [1, 2])
async def test_a_cancellation_raised_by_a_handler_is_its_error_and_not_the_end(
    client, max_concurrency
):
    handled, errors = [], []

    async def on_event(event):
        handled.append(event)
        inner = asyncio.create_task(asyncio.sleep(60))
        inner.cancel()
        await inner

    handler = StreamEventHandler(on_event=on_event, on_error=errors.append)
    await client.subscribe_async_with_handler(handler, topics="t", max_concurrency=max_concurrency)
    for _ in range(2):
        await client.pubsub.publish_async("t", "x")
    await until(lambda: len(errors) == 2)
    assert all(isinstance(error, VirtufinError) for error in errors)
    assert all(isinstance(error.__cause__, asyncio.CancelledError) for error in errors)


@pytest.mark.parametrize("max_concurrency", [1, 2])
async def test_an_outcome_of_pytest_in_a_handler_is_its_error_and_not_the_end(
    client, max_concurrency
):
    errors = []
    handler = StreamEventHandler(
        on_event=lambda event: pytest.fail("in a handler"), on_error=errors.append
    )
    handle = await client.subscribe_async_with_handler(
        handler, topics="t", max_concurrency=max_concurrency
    )
    for _ in range(2):
        await client.pubsub.publish_async("t", "x")
    await until(lambda: handle.handler_errors == 2)
    assert handle.state is SubscriptionState.LIVE
    assert [str(error.__cause__) for error in errors] == ["in a handler"] * 2


async def test_cancelled_subscriptions_give_their_places_back(gateway, client):
    for _ in range(100):
        handle = await client.subscribe_async_with_handler(print, topics="t")
        await handle.cancel()
    await until(lambda: gateway.faults.open_streams == 0, "the end of all streams")
    places = client._transport._channels._streams
    await until(lambda: sum(channel.calls for channel in places) == 0, "the end of all places")


async def test_cancelling_while_the_stream_is_paused_ends_it_at_the_gateway(gateway, connect):
    client = connect(gateway, subscription=SubscriptionSettings(max_buffered_events=2))
    held = asyncio.Event()

    async def on_event(event):
        await held.wait()

    handle = await client.subscribe_async_with_handler(on_event, topics="t")
    for number in range(10):
        await client.pubsub.publish_async("t", str(number))
    await until(lambda: handle.stats.buffered == 2)
    await handle.cancel()
    await until(lambda: gateway.faults.open_streams == 0, "the end of the stream")


async def test_a_handler_that_closes_its_client_gets_no_further_event(gateway, connect):
    client, publisher = connect(gateway), connect(gateway)
    seen = []
    go_on = asyncio.Event()

    async def on_event(event):
        seen.append(event)
        await go_on.wait()
        await client.close()

    handle = await client.subscribe_async_with_handler(on_event, topics="t")
    for number in range(10):
        await publisher.pubsub.publish_async("t", str(number))
    await until(lambda: handle.stats.received == 10)
    go_on.set()
    await handle.wait_closed()
    assert len(seen) == 1


async def test_a_handler_that_swallows_its_cancellation_gets_no_further_event(gateway, connect):
    client, publisher = connect(gateway), connect(gateway)
    seen = []

    async def on_event(event):
        seen.append(event)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)

    handle = await client.subscribe_async_with_handler(on_event, topics="t")
    for number in range(10):
        await publisher.pubsub.publish_async("t", str(number))
    await until(lambda: handle.stats.received == 10)
    await asyncio.wait_for(client.close(), 5 * UNIT)
    assert len(seen) == 1


def test_the_end_of_the_loop_leaves_the_buffer_alone():
    program = """
import asyncio
from virtufin.api.client import ApiClient
async def main():
    client = ApiClient("memory:")
    seen = []
    async def on_event(event):
        seen.append(event)
        await asyncio.sleep(0.02)
    handle = await client.subscribe_async_with_handler(on_event, topics="t")
    for number in range(60):
        await client.pubsub.publish_async("t", str(number))
    while handle.stats.received < 60:
        await asyncio.sleep(0.001)
    return seen, len(seen)
seen, before = asyncio.run(main())
assert len(seen) <= before + 1, (len(seen), before)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60 * UNIT)


def test_the_end_of_the_loop_ends_a_handler_that_is_busy():
    program = """
import asyncio
from virtufin.api.client import ApiClient
async def main():
    client = ApiClient("memory:")
    began = asyncio.Event()
    async def handler(event):
        began.set()
        await asyncio.sleep(60)
    await client.subscribe_async_with_handler(handler, topics="t")
    await client.pubsub.publish_async("t", "x")
    await began.wait()
asyncio.run(main())
print("ended")
"""
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30 * UNIT
    )
    assert out.stdout.strip() == "ended"


async def test_a_handler_that_raises_gets_the_event_again(client):
    seen = []

    def flaky(event):
        seen.append(event.data_as_text())
        if len(seen) < 3:
            raise LookupError("not yet")

    handle = await client.subscribe_async_with_handler(
        flaky, topics="t", max_attempts=3, retry_backoff=0.001 * UNIT
    )
    await client.pubsub.publish_async("t", "1")
    await client.pubsub.publish_async("t", "2")
    await until(lambda: len(seen) == 4)
    assert seen == ["1", "1", "1", "2"]
    assert (handle.handler_errors, handle.dead_letters) == (2, 0)


async def test_after_the_last_attempt_the_event_goes_untouched_to_the_dead_letter_topic(client):
    def broken(event):
        raise LookupError("never")

    async with client.pubsub.subscribe_async_iter("t-dead") as dead:
        handle = await client.subscribe_async_with_handler(
            broken, topics="t", max_attempts=2, retry_backoff=0.001 * UNIT, dead_letter=True
        )
        await client.pubsub.publish_async("t", "x", {"ce-id": "7", "runid": "1"}, type="a.b")
        letter = await anext(dead)
    assert (letter.message_id, letter.type, letter.data_as_text()) == ("7", "a.b", "x")
    assert letter.extensions == {"runid": "1"}
    await until(lambda: handle.dead_letters == 1)
    assert handle.handler_errors == 2


async def test_a_dead_letter_that_cannot_be_published_is_reported(gateway, client, caplog):
    errors = []

    def on_event(event):
        gateway.faults.fail("Pubsub/PublishEvent", grpc.StatusCode.PERMISSION_DENIED)
        raise LookupError("never")

    handler = StreamEventHandler(on_event=on_event, on_error=errors.append)
    handle = await client.subscribe_async_with_handler(handler, topics="t", dead_letter=True)
    await client.pubsub.publish_async("t", "x")
    await until(lambda: len(errors) == 2)
    assert isinstance(errors[1], PermissionDeniedError)
    assert "could not be put aside" in caplog.text
    assert handle.dead_letters == 0
