"""Request and reply."""

import asyncio

import grpc
import pytest

from tests.client.conftest import UNIT, until
from virtufin.api.client import (
    ClientClosedError,
    DeadlineExceededError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    RequestFailedError,
    StreamFailedError,
    SubscriptionState,
    UnauthenticatedError,
    deadline,
)


# A8
async def test_request_reply_returns_the_matching_response(client):
    async def answer(event):
        number = event.data_as_json()["n"]
        await asyncio.sleep(0.01 * UNIT * (5 - number))
        return {"n": number}

    await client.pubsub.respond("requests", answer, max_concurrency=5)
    replies = await asyncio.gather(
        *(
            client.pubsub.publish_with_result_async("requests", {"n": n}, "responses")
            for n in range(5)
        )
    )
    assert [reply.data_as_json()["n"] for reply in replies] == list(range(5))


# A9
async def test_request_reply_times_out(client):
    with pytest.raises(TimeoutError) as caught:
        await client.pubsub.publish_with_result_async("t", "d", "r", timeout=UNIT)
    assert isinstance(caught.value, DeadlineExceededError)
    assert "topic 'r'" in str(caught.value)


# A10
async def test_correlation_id_generated_when_omitted(client):
    async with client.pubsub.subscribe_async_iter("t") as requests:
        requesting = [
            asyncio.create_task(client.pubsub.publish_with_result_async("t", "d", "r"))
            for _ in range(2)
        ]
        events = [await anext(requests) for _ in requesting]
        for event in events:
            await client.pubsub.reply_async(event, "ok")
        await asyncio.gather(*requesting)
    assert len({event.correlation_id for event in events}) == 2
    assert all(len(event.correlation_id) == 36 for event in events)
    assert all(event.reply_topic == "r" for event in events)


async def test_a_given_correlation_id_is_used(client):
    async with client.pubsub.subscribe_async_iter("t") as requests:
        requesting = asyncio.create_task(
            client.pubsub.publish_with_result_async("t", "d", "r", correlation_id="mine")
        )
        event = await anext(requests)
        await client.pubsub.reply_async(event, {"ok": True}, {"runid": "1"}, type="answered")
        reply = await requesting
    assert event.correlation_id == reply.correlation_id == "mine"
    assert (reply.type, reply.extensions["runid"]) == ("answered", "1")


async def test_a_correlation_id_in_metadata_is_used(client):
    async with client.pubsub.subscribe_async_iter("t") as requests:
        requesting = asyncio.create_task(
            client.pubsub.publish_with_result_async(
                "t", "d", "r", metadata={"correlationid": "mine", "runid": "7"}
            )
        )
        event = await anext(requests)
        assert (event.correlation_id, event.extensions["runid"]) == ("mine", "7")
        await client.pubsub.reply_async(event, "ok")
        await requesting


async def test_a_correlation_id_in_use_is_refused(client):
    async with client.pubsub.subscribe_async_iter("t") as requests:
        requesting = asyncio.create_task(
            client.pubsub.publish_with_result_async("t", "d", "r", correlation_id="same")
        )
        event = await anext(requests)
        with pytest.raises(InvalidInputError, match="'same'"):
            await client.pubsub.publish_with_result_async("t", "d", "r", correlation_id="same")
        await client.pubsub.reply_async(event, "ok")
        assert (await requesting).data_as_text() == "ok"


async def test_the_first_reply_wins_and_foreign_replies_are_ignored(client):
    async with client.pubsub.subscribe_async_iter("t") as requests:
        requesting = asyncio.create_task(client.pubsub.publish_with_result_async("t", "d", "r"))
        event = await anext(requests)
        await client.pubsub.publish_async("r", "foreign", correlation_id="somebody else's")
        await client.pubsub.publish_async("r", "no id at all")
        await client.pubsub.reply_async(event, "first")
        await client.pubsub.reply_async(event, "second")
        assert (await requesting).data_as_text() == "first"
        await until(lambda: client.pubsub.ignored_replies == 3)


async def test_requests_to_one_reply_topic_share_one_stream_that_goes_away(gateway, client):
    await client.pubsub.respond("t", lambda event: "ok")
    await asyncio.gather(
        *(client.pubsub.publish_with_result_async("t", "d", "r") for _ in range(20))
    )
    assert gateway.faults.open_streams == 2
    await until(lambda: gateway.faults.open_streams == 1, "the end of the idle reply stream")
    await client.pubsub.publish_with_result_async("t", "d", "r")


async def test_a_cut_of_the_reply_stream_loses_no_waiting_call(gateway, client):
    async with client.pubsub.subscribe_async_iter("t") as requests:
        requesting = asyncio.create_task(client.pubsub.publish_with_result_async("t", "d", "r"))
        event = await anext(requests)
        gateway.faults.cut_streams()
        await until(lambda: gateway.faults.open_streams == 0, "the end of both streams")
        await until(lambda: gateway.faults.open_streams == 2, "the return of both streams")
        await client.pubsub.reply_async(event, "ok")
        assert (await requesting).data_as_text() == "ok"


async def test_a_failure_of_the_reply_stream_fails_the_waiting_calls_at_once(gateway, client):
    requesting = [
        asyncio.create_task(client.pubsub.publish_with_result_async("t", "d", "r", timeout=None))
        for _ in range(3)
    ]
    await until(lambda: gateway.faults.open_streams == 1)
    gateway.faults.fail("Pubsub/Subscribe", grpc.StatusCode.UNAUTHENTICATED)
    gateway.faults.cut_streams()
    for task in requesting:
        with pytest.raises(UnauthenticatedError) as caught:
            await asyncio.wait_for(task, 10 * UNIT)
        assert isinstance(caught.value, StreamFailedError)


async def test_closing_the_client_fails_waiting_requests(gateway, client):
    requesting = asyncio.create_task(client.pubsub.publish_with_result_async("t", "d", "r"))
    await until(lambda: gateway.faults.open_streams == 1)
    await asyncio.sleep(0.05 * UNIT)
    await client.close()
    with pytest.raises(ClientClosedError):
        await requesting


async def test_closing_the_client_in_the_same_step_fails_the_request(gateway, client):
    await client.list_services_async()
    requesting = asyncio.create_task(client.pubsub.publish_with_result_async("t", "d", "r"))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(requesting, 10 * UNIT)


async def test_a_refused_publish_fails_its_request_only(gateway, client):
    gateway.faults.fail("Pubsub/PublishEvent", grpc.StatusCode.PERMISSION_DENIED)
    from virtufin.api.client import PermissionDeniedError

    with pytest.raises(PermissionDeniedError):
        await client.pubsub.publish_with_result_async("t", "d", "r")
    await client.pubsub.respond("t", lambda event: "ok")
    assert await client.pubsub.publish_with_result_async("t", "d", "r")


async def test_a_surrounding_deadline_bounds_a_request(client):
    with deadline(0.2 * UNIT), pytest.raises(DeadlineExceededError):
        await client.pubsub.publish_with_result_async("t", "d", "r", timeout=60)


async def test_cancelling_a_request_frees_its_correlation_id(gateway, client):
    requesting = asyncio.create_task(
        client.pubsub.publish_with_result_async("t", "d", "r", correlation_id="same")
    )
    await until(lambda: gateway.faults.open_streams == 1)
    requesting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await requesting
    await client.pubsub.respond("t", lambda event: "ok")
    assert await client.pubsub.publish_with_result_async("t", "d", "r", correlation_id="same")


async def test_an_event_that_expects_no_reply_cannot_be_answered(client):
    async with client.pubsub.subscribe_async_iter("t") as events:
        await client.pubsub.publish_async("t", "d", correlation_id="c")
        with pytest.raises(InvalidInputError, match="replytopic"):
            await client.pubsub.reply_async(await anext(events), "x")
        await client.pubsub.publish_async("t", "d", reply_topic="r")
        with pytest.raises(InvalidInputError, match="correlationid"):
            await client.pubsub.reply_async(await anext(events), "x")


async def test_a_responder_takes_plain_and_coroutine_functions(client):
    async def later(event):
        await asyncio.sleep(0)
        return "async"

    await client.pubsub.respond("plain", lambda event: "plain")
    await client.pubsub.respond("async", later)
    for topic in ("plain", "async"):
        reply = await client.pubsub.publish_with_result_async(topic, "d", "r")
        assert reply.data_as_text() == topic


async def test_a_responder_drops_its_result_if_no_reply_is_expected(client):
    seen = []
    handle = await client.pubsub.respond("t", lambda event: seen.append(event) or "dropped")
    await client.pubsub.publish_async("t", "d")
    await until(lambda: seen)
    assert handle.state is SubscriptionState.LIVE
    assert handle.handler_errors == 0


async def test_an_empty_reply_is_a_reply(client):
    await client.pubsub.respond("t", lambda event: None)
    reply = await client.pubsub.publish_with_result_async("t", "d", "r")
    assert reply.data_as_json() is None


async def test_a_responder_that_raises_fails_the_request_at_once(client):
    def broken(event):
        raise LookupError("no such worker")

    handle = await client.pubsub.respond("t", broken)
    with pytest.raises(RequestFailedError, match="no such worker") as caught:
        await client.pubsub.publish_with_result_async("t", "d", "r", timeout=60 * UNIT)
    assert isinstance(caught.value, InternalError)
    # The requester gets the report before the handler's error is counted.
    await until(lambda: handle.handler_errors == 1)
    assert handle.state is SubscriptionState.LIVE


async def test_a_responder_that_raises_a_cancellation_reports_it_to_the_requester(client):
    async def broken(event):
        inner = asyncio.create_task(asyncio.sleep(3600))
        inner.cancel()
        await inner

    await client.pubsub.respond("t", broken)
    with pytest.raises(RequestFailedError, match="CancelledError"):
        await client.pubsub.publish_with_result_async("t", "d", "r", timeout=10 * UNIT)


async def test_a_failed_reply_without_json_is_a_failed_request(client):
    async def failed(event):
        await client.pubsub.reply_async(
            event,
            b"no JSON",
            type="com.virtufin.client.reply.failed",
            extensions={"replystatus": "NOT_FOUND"},
        )

    await client.subscribe_async_with_handler(failed, topics="t")
    with pytest.raises(RequestFailedError) as caught:
        await client.pubsub.publish_with_result_async("t", "d", "r", timeout=10 * UNIT)
    assert isinstance(caught.value, NotFoundError)


async def test_the_meaning_of_a_responders_error_reaches_the_asker(client):
    async def lookup(event):
        raise NotFoundError("worker 7 is unknown")

    await client.pubsub.respond("t", lookup)
    with pytest.raises(NotFoundError, match="worker 7 is unknown") as caught:
        await client.pubsub.publish_with_result_async("t", "d", "r")
    assert isinstance(caught.value, RequestFailedError)
    assert caught.value.status == "NOT_FOUND"


async def test_a_reply_that_cannot_be_sent_is_reported_too(client):
    await client.pubsub.respond("t", lambda event: object())
    with pytest.raises(RequestFailedError, match="JSON"):
        await client.pubsub.publish_with_result_async("t", "d", "r")


async def test_a_failed_reply_has_the_documented_form(client):
    def broken(event):
        raise LookupError("why")

    await client.pubsub.respond("t", broken)
    async with client.pubsub.subscribe_async_iter("r") as replies:
        await client.pubsub.publish_async("t", "d", correlation_id="c", reply_topic="r")
        reply = await anext(replies)
    assert reply.type == "com.virtufin.client.reply.failed"
    assert reply.extensions["replystatus"] == "INTERNAL"
    assert reply.data_as_json() == {"status": "INTERNAL", "message": "LookupError: why"}


async def test_a_responder_whose_way_back_is_broken_reports_that_once(gateway, client):
    def handler(event):
        gateway.faults.fail("Pubsub/PublishEvent", grpc.StatusCode.PERMISSION_DENIED)
        return "ok"

    handle = await client.pubsub.respond("t", handler)
    await client.pubsub.publish_async("t", "d", correlation_id="c", reply_topic="r")
    await until(lambda: handle.handler_errors == 1)
    assert handle.state is SubscriptionState.LIVE
