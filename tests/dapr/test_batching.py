"""Batching against a real gRPC server that plays the sidecar."""

import asyncio
import contextlib
import gc
import logging

import grpc
import pytest

from tests.timing import UNIT, until
from virtufin.api.client import deadline, errors
from virtufin.api.dapr import DaprPublisher, PublishFailedError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

LOG = "virtufin.api.dapr.publisher"


def refusing(*data):
    return lambda event: f"refused {event['data']}" if event["data"] in data else None


async def publish_all(batch, data, topic="t"):
    return [await batch.publish_async(topic, one) for one in data]


# What arrives


async def test_leaving_the_block_publishes_everything(sidecar, publisher):
    async with publisher.batching() as batch:
        await publish_all(batch, range(1050))
    assert sorted(sidecar.data) == list(range(1050))
    assert batch.stats.published == 1050


async def test_a_receipt_shows_that_the_event_was_accepted(sidecar, publisher):
    async with publisher.batching() as batch:
        receipt = await batch.publish_async("t", "x")
        assert not receipt.done
        assert "under way" in repr(receipt)
        assert await receipt == {"success": True, "status": "OK", "message": ""}
        assert sidecar.data == ["x"]
        assert await receipt == await receipt
        assert receipt.done
        assert "accepted" in repr(receipt)


async def test_attributes_go_along(sidecar, publisher):
    async with publisher.batching() as batch:
        await batch.publish_async(
            "t",
            "x",
            {"ce-id": "7", "scenarioid": "s"},
            type="a.b",
            source="urn:s",
            subject="u",
            content_type="text/html",
            extensions={"runid": 7},
            correlation_id="c",
            reply_topic="r",
        )
    [(topic, event)] = sidecar.accepted
    event.pop("time")
    assert topic == "t"
    assert event == {
        "specversion": "1.0",
        "id": "7",
        "source": "urn:s",
        "type": "a.b",
        "datacontenttype": "text/html",
        "subject": "u",
        "scenarioid": "s",
        "runid": 7,
        "correlationid": "c",
        "replytopic": "r",
        "data": "x",
    }


async def test_each_topic_has_batches_of_its_own(sidecar, publisher):
    async with publisher.batching(linger=3600) as batch:
        for number in range(100):
            await batch.publish_async(f"topic-{number % 3}", number)
    assert sorted(bulk.topic for bulk in sidecar.bulks) == ["topic-0", "topic-1", "topic-2"]
    assert all(topic == f"topic-{event['data'] % 3}" for topic, event in sidecar.accepted)


async def test_large_events_are_encoded_and_arrive(sidecar, publisher):
    data = {"rows": ["x" * 100] * 2000}
    async with publisher.batching() as batch:
        await publish_all(batch, [data] * 5)
    assert sidecar.data == [data] * 5


# When a batch goes out


async def test_a_full_batch_goes_out_at_once(sidecar, publisher):
    async with publisher.batching(max_events=10, linger=3600) as batch:
        receipts = await publish_all(batch, range(25))
        await asyncio.gather(*receipts[:20])
        assert [len(bulk.entries) for bulk in sidecar.bulks] == [10, 10]
        assert not receipts[20].done
        assert batch.stats.queued == 5


async def test_a_batch_of_enough_bytes_goes_out_at_once(sidecar, publisher):
    async with publisher.batching(max_bytes=10_000, linger=3600) as batch:
        receipts = await publish_all(batch, ["x" * 3000] * 4)
        await asyncio.gather(*receipts[:3])
        assert [len(bulk.entries) for bulk in sidecar.bulks] == [3]


async def test_an_event_larger_than_a_batch_goes_alone(sidecar, publisher):
    async with publisher.batching(max_bytes=1000) as batch:
        await publish_all(batch, ["x", "y" * 5000, "z"])
    assert sorted(sidecar.data) == ["x", "y" * 5000, "z"]
    assert sidecar.bulks == []


async def test_a_batch_that_does_not_fill_goes_out_after_the_linger(sidecar, publisher):
    async with publisher.batching(linger=0.2 * UNIT) as batch:
        receipts = await publish_all(batch, range(3))
        assert sidecar.bulks == []
        await asyncio.gather(*receipts)
        assert [len(bulk.entries) for bulk in sidecar.bulks] == [3]


async def test_without_a_linger_what_comes_in_one_turn_goes_together(sidecar, publisher):
    async with publisher.batching(linger=0) as batch:
        receipts = await publish_all(batch, range(3))
        await asyncio.gather(*receipts)
    assert [len(bulk.entries) for bulk in sidecar.bulks] == [3]


async def test_flush_sends_what_is_queued_and_waits_for_it(sidecar, publisher):
    async with publisher.batching(linger=3600) as batch:
        await publish_all(batch, range(3))
        await batch.flush()
        assert sorted(sidecar.data) == [0, 1, 2]
        await batch.flush()


async def test_flush_does_not_wait_for_what_comes_later(sidecar, publisher):
    async with publisher.batching(linger=3600) as batch:
        await batch.publish_async("t", "early")
        flush = asyncio.create_task(batch.flush())
        await asyncio.sleep(0)
        late = await batch.publish_async("t", "late")
        await flush
        assert sidecar.data == ["early"]
        assert not late.done


async def test_cancelling_a_flush_ends_the_wait_only(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching() as batch:
        await batch.publish_async("t", 1)
        flush = asyncio.create_task(batch.flush())
        await until(lambda: sidecar.requests)
        flush.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flush
        sidecar.open.set()
    assert sidecar.data == [1]


# Bounds


async def test_no_more_calls_are_in_flight_than_allowed(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching(max_events=10, max_in_flight=3) as batch:
        producer = asyncio.create_task(publish_all(batch, range(300)))
        await until(lambda: sidecar.at_once == 3)
        sidecar.open.set()
        await producer
    assert sidecar.most_at_once == 3
    assert len(sidecar.data) == 300


@pytest.mark.parametrize("bound", [{"max_pending_events": 50}, {"max_pending_bytes": 15_000}])
async def test_publishing_waits_while_the_limit_of_pending_events_is_reached(
    sidecar, publisher, bound
):
    sidecar.open.clear()
    async with publisher.batching(max_events=10, linger=3600, **bound) as batch:
        producer = asyncio.create_task(publish_all(batch, range(200)))
        await until(lambda: batch._capacity.has_waiters and batch.stats.in_flight >= 40)
        given = batch.stats.queued + batch.stats.in_flight
        assert 40 <= given <= 50
        await asyncio.sleep(0.05 * UNIT)
        assert batch.stats.queued + batch.stats.in_flight == given
        sidecar.open.set()
        await producer
    assert sorted(sidecar.data) == list(range(200))


async def test_publishers_that_wait_for_capacity_continue_in_order(sidecar, publisher):
    sidecar.open.clear()
    order = []

    async def publish(batch, number):
        await batch.publish_async("t", number)
        order.append(number)

    async with publisher.batching(max_pending_events=1) as batch:
        tasks = [asyncio.create_task(publish(batch, number)) for number in range(10)]
        await until(lambda: batch.stats.in_flight == 1)
        sidecar.open.set()
        await asyncio.gather(*tasks)
    assert order == list(range(10))


async def test_cancelling_waits_for_capacity_loses_nothing_and_leaks_no_capacity(
    sidecar, publisher
):
    sidecar.open.clear()
    async with publisher.batching(max_pending_events=2, max_events=1) as batch:
        await publish_all(batch, range(2))
        tasks = [asyncio.create_task(batch.publish_async("t", number)) for number in range(2, 12)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        sidecar.open.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in results] == [True, False] * 5
        await publish_all(batch, range(12, 20))
    assert sorted(sidecar.data) == [0, 1, 3, 5, 7, 9, 11, *range(12, 20)]


async def test_a_wait_cancelled_after_it_was_granted_returns_the_capacity(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching(max_pending_events=1) as batch:
        first = await batch.publish_async("t", 1)
        waiting = asyncio.create_task(batch.publish_async("t", 2))
        await until(lambda: batch.stats.in_flight == 1)
        cancelling = asyncio.create_task(_cancel_after(first, waiting))
        sidecar.open.set()
        await cancelling
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(batch.publish_async("t", 3), 5 * UNIT)
    assert 3 in sidecar.data


async def _cancel_after(receipt, task):
    await receipt
    task.cancel()


async def test_no_capacity_in_time_is_a_timeout_and_nothing_is_queued(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching(max_pending_events=1) as batch:
        await batch.publish_async("t", 1)
        with pytest.raises(errors.DeadlineExceededError, match="no room"):
            await batch.publish_async("t", 2, timeout=0.1 * UNIT)
        sidecar.open.set()
    assert sidecar.data == [1]


async def test_a_full_batch_does_not_wait_for_its_linger(sidecar, publisher):
    async with publisher.batching(max_pending_events=5, linger=3600) as batch:
        await asyncio.wait_for(publish_all(batch, range(23)), 10 * UNIT)
    assert sorted(sidecar.data) == list(range(23))


async def test_an_event_larger_than_all_that_may_be_pending_goes_through(sidecar, publisher):
    async with publisher.batching(max_pending_bytes=1000) as batch:
        await publish_all(batch, ["x", "y" * 5000, "z"])
    assert sidecar.data == ["x", "y" * 5000, "z"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_events": 0},
        {"max_events": 1001},
        {"max_bytes": 0},
        {"linger": -1},
        {"linger": "1"},
        {"max_pending_events": 0},
        {"max_pending_bytes": 1.5},
        {"max_in_flight": 0},
        {"keep_order": 1},
        {"on_failed": "print"},
        {"timeout": -1},
    ],
    ids=str,
)
async def test_bad_settings_are_refused_at_once(publisher, arguments):
    with pytest.raises(errors.InvalidInputError, match=next(iter(arguments))):
        publisher.batching(**arguments)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (("", "x"), {}),
        (("t", 1j), {}),
        (("t", "x", {"Bad-Name": "x"}), {}),
        (("t", CloudEvent()), {"type": "x"}),
        (("t", "x"), {"timeout": -1}),
    ],
    ids=str,
)
async def test_bad_input_is_refused_and_queues_nothing(sidecar, publisher, arguments, keywords):
    async with publisher.batching() as batch:
        with pytest.raises(errors.InvalidInputError):
            await batch.publish_async(*arguments, **keywords)
        assert batch.stats.queued == 0
    assert sidecar.requests == sidecar.bulks == []


# Failures


async def test_a_receipt_raises_the_error_of_its_event(sidecar, publisher):
    sidecar.refuse = refusing(1)
    async with publisher.batching(on_failed=lambda failed: None) as batch:
        receipts = await publish_all(batch, range(3))
        await receipts[0]
        for _ in range(2):
            with pytest.raises(errors.InternalError, match="refused 1"):
                await receipts[1]
        assert isinstance(receipts[1].error, errors.InternalError)
        assert "refused 1" in repr(receipts[1])
        await receipts[2]


async def test_cancelling_a_waiter_of_a_receipt_leaves_the_receipt_to_the_others(
    sidecar, publisher
):
    sidecar.open.clear()
    async with publisher.batching() as batch:
        receipt = await batch.publish_async("t", 1)
        waiting = [asyncio.create_task(_outcome(receipt)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        sidecar.open.set()
        assert (await waiting[1])["success"]


async def _outcome(receipt):
    return await receipt


async def test_flush_raises_what_failed_and_names_it_once(sidecar, publisher):
    sidecar.refuse = refusing(3, 170)
    async with publisher.batching() as batch:
        await publish_all(batch, range(200))
        with pytest.raises(PublishFailedError, match="2 of 200") as caught:
            await batch.flush()
        assert [(one.index, one.topic) for one in caught.value.failed] == [(3, "t"), (170, "t")]
        assert caught.value.published == 198
        await batch.flush()
    assert batch.stats.failed == 2


async def test_leaving_the_block_raises_what_failed(sidecar, publisher):
    sidecar.refuse = refusing(1)
    with pytest.raises(errors.InternalError, match="1 of 3") as caught:
        async with publisher.batching() as batch:
            await publish_all(batch, range(3))
    assert isinstance(caught.value, PublishFailedError)
    await batch.close()


async def test_on_failed_gets_the_failures_instead(sidecar, publisher):
    sidecar.refuse = refusing(1, 3)
    reported = []
    async with publisher.batching(on_failed=reported.append) as batch:
        await publish_all(batch, range(5))
        await batch.flush()
        assert sorted(one.index for one in reported) == [1, 3]
    assert len(reported) == 2


async def test_on_failed_may_be_async_and_publish_elsewhere(sidecar, publisher):
    sidecar.refuse = refusing(1)

    async def aside(failed):
        await publisher.publish_async("aside", f"{failed.event.id}: {failed.error.message}")

    async with publisher.batching(on_failed=aside) as batch:
        await publish_all(batch, range(3))
        await batch.flush()
        assert [topic for topic, _ in sidecar.accepted].count("aside") == 1


async def test_an_error_of_on_failed_is_logged_with_the_event(sidecar, publisher, caplog):
    sidecar.refuse = refusing(1)

    def broken(failed):
        raise ZeroDivisionError

    async with publisher.batching(on_failed=broken) as batch:
        await batch.publish_async("t", 1, {"ce-id": "the-event"})
    [record] = [record for record in caplog.records if record.name == LOG]
    assert "the-event" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


async def test_an_on_failed_that_is_cancelled_costs_no_other_event(sidecar, publisher, caplog):
    sidecar.refuse = refusing(1)

    async def broken(failed):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with publisher.batching(on_failed=broken, max_events=5, max_in_flight=1) as batch:
        await publish_all(batch, range(20))
    assert (batch.stats.published, batch.stats.failed) == (19, 1)
    [record] = [record for record in caplog.records if record.name == LOG]
    assert "on_failed failed" in record.getMessage()


@pytest.mark.parametrize("use", ["publish", "flush", "close", "close the publisher"])
async def test_on_failed_cannot_wait_for_the_batch_that_waits_for_it(
    sidecar, publisher, caplog, use
):
    sidecar.refuse = refusing(1)

    async def wait(failed):
        if use == "publish":
            await batch.publish_async("t", 2)
        elif use == "flush":
            await batch.flush()
        elif use == "close":
            await batch.close()
        else:
            await publisher.close()

    async with publisher.batching(on_failed=wait) as batch:
        await batch.publish_async("t", 1)
    [record] = [record for record in caplog.records if record.name == LOG]
    assert record.exc_info[0] is errors.FailedPreconditionError


async def test_too_many_unreported_failures_are_raised_by_the_next_publish(sidecar, publisher):
    sidecar.failure = (grpc.StatusCode.PERMISSION_DENIED, "no")
    async with publisher.batching(max_pending_events=10, max_events=5) as batch:
        with pytest.raises(PublishFailedError) as caught:
            await publish_all(batch, range(100))
        assert len(caught.value.failed) >= 10
        with pytest.raises(errors.PermissionDeniedError):
            await batch.flush()


async def test_failures_that_are_not_awaited_leave_no_error_behind(sidecar, publisher, caplog):
    sidecar.refuse = refusing(1)
    async with publisher.batching(on_failed=lambda failed: None) as batch:
        await batch.publish_async("t", 1)
    del batch
    gc.collect()
    # asyncio warns of slow callbacks, which a busy machine has.
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("failure", "meaning"),
    [
        ((grpc.StatusCode.INVALID_ARGUMENT, "pubsub x is not found"), errors.InvalidRequestError),
        ((grpc.StatusCode.PERMISSION_DENIED, "not allowed"), errors.PermissionDeniedError),
        ((grpc.StatusCode.UNAUTHENTICATED, "Unauthorized"), errors.UnauthenticatedError),
        ((grpc.StatusCode.INTERNAL, "error when publishing"), errors.InternalError),
    ],
    ids=lambda value: value[0].name if isinstance(value, tuple) else "",
)
async def test_failures_that_will_not_change_are_not_tried_again(
    sidecar, publisher, failure, meaning
):
    sidecar.failure = failure
    async with publisher.batching(linger=3600) as batch:
        await publish_all(batch, range(10))
        with pytest.raises(meaning) as caught:
            await batch.flush()
        assert len(caught.value.failed) == 10
    assert len(sidecar.bulks) == 1
    assert len(sidecar.requests) == (10 if failure[0] is grpc.StatusCode.INTERNAL else 0)


async def test_an_event_too_large_for_the_sidecar_fails_alone(sidecar, publisher):
    with pytest.raises(errors.ResourceExhaustedError, match="max-body-size") as caught:
        async with publisher.batching() as batch:
            await publish_all(batch, [1, "x" * 5_000_000, 2])
    assert [one.index for one in caught.value.failed] == [1]
    assert sorted(sidecar.data) == [1, 2]


# Sidecars that are away, restart, or freeze


@pytest.mark.slow
async def test_a_sidecar_that_restarts_gets_every_event(sidecar, publisher):
    async with publisher.batching(max_events=10, linger=3600, timeout=30 * UNIT) as batch:
        await publish_all(batch, range(50))
        await batch.flush()
        await sidecar.stop()
        receipts = await publish_all(batch, range(50, 100))
        await until(lambda: batch.stats.in_flight == 40)
        assert not any(receipt.done for receipt in receipts)
        await sidecar.start()
    assert set(sidecar.data) == set(range(100))
    assert batch.stats.published == 100


async def test_an_event_sent_again_keeps_its_id(sidecar, publisher):
    sidecar.failure = (grpc.StatusCode.UNAVAILABLE, "going down")
    async with publisher.batching(max_events=3, linger=3600, timeout=30 * UNIT) as batch:
        await publish_all(batch, range(3))
        await until(lambda: len(sidecar.bulks) == 2)
        sidecar.failure = None
    first, second = (sorted(entry.event for entry in bulk.entries) for bulk in sidecar.bulks[:2])
    assert first == second
    assert sorted(sidecar.data) == [0, 1, 2]


async def test_no_sidecar_until_the_deadline_is_unavailable():
    async with DaprPublisher(address="127.0.0.1:1") as publisher:
        with pytest.raises(errors.UnavailableError, match="Dapr sidecar") as caught:
            async with publisher.batching(timeout=2 * UNIT) as batch:
                await publish_all(batch, range(250))
        assert len(caught.value.failed) == 250


async def test_a_frozen_sidecar_is_a_timeout_for_every_event(sidecar, publisher):
    sidecar.open.clear()
    with pytest.raises(errors.DeadlineExceededError) as caught:
        async with publisher.batching(timeout=0.5 * UNIT, max_events=10) as batch:
            await publish_all(batch, range(250))
    assert [one.index for one in caught.value.failed] == list(range(250))
    assert batch.stats.failed == 250


async def test_an_events_own_deadline_does_not_shorten_those_of_others(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching(on_failed=lambda failed: None) as batch:
        hasty = await batch.publish_async("t", 1, timeout=0.2 * UNIT)
        patient = await batch.publish_async("t", 2)
        with pytest.raises(TimeoutError):
            await hasty
        sidecar.open.set()
        await patient


async def test_a_surrounding_deadline_is_the_events_own(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching(on_failed=lambda failed: None) as batch:
        with deadline(0.2 * UNIT):
            hasty = await batch.publish_async("t", 1)
        with pytest.raises(errors.DeadlineExceededError):
            await hasty


# Order


async def test_with_keep_order_events_of_a_topic_arrive_in_order(sidecar, publisher):
    async with publisher.batching(keep_order=True) as batch:
        for number in range(300):
            await batch.publish_async(f"topic-{number % 3}", number)
    for remainder in range(3):
        mine = [event["data"] for topic, event in sidecar.accepted if topic[-1] == f"{remainder}"]
        assert mine == list(range(remainder, 300, 3))
    assert sidecar.bulks == []


async def test_with_keep_order_topics_go_side_by_side_and_one_event_at_a_time(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching(keep_order=True, max_in_flight=8) as batch:
        for number in range(30):
            await batch.publish_async(f"topic-{number % 3}", number)
        await until(lambda: sidecar.at_once == 3)
        sidecar.open.set()
    assert sidecar.most_at_once == 3


async def test_with_keep_order_a_restart_does_not_disturb_the_order(sidecar, publisher):
    sidecar.failure = (grpc.StatusCode.UNAVAILABLE, "going down")
    async with publisher.batching(keep_order=True, timeout=30 * UNIT) as batch:
        await publish_all(batch, range(20))
        await until(lambda: len(sidecar.requests) == 2)
        sidecar.failure = None
    assert sidecar.data == list(range(20))


async def test_with_keep_order_a_failed_event_does_not_hold_up_the_next(sidecar, publisher):
    sidecar.refuse = refusing(1)
    with pytest.raises(PublishFailedError, match="1 of 4"):
        async with publisher.batching(keep_order=True) as batch:
            await publish_all(batch, range(4))
    assert sidecar.data == [0, 2, 3]


# Closing


async def test_a_closed_batch_says_so(sidecar, publisher):
    batch = publisher.batching()
    await batch.publish_async("t", 1)
    await batch.close()
    await batch.close()
    assert sidecar.data == [1]
    assert "closed" in repr(batch)
    for use in (batch.publish_async("t", 1), batch.flush(), batch.__aenter__()):
        with pytest.raises(errors.ClientClosedError, match="batch is closed"):
            await use


async def test_closing_twice_at_once_waits_for_the_same_end(sidecar, publisher):
    sidecar.open.clear()
    batch = publisher.batching()
    await batch.publish_async("t", 1)
    closing = [asyncio.create_task(batch.close()) for _ in range(2)]
    await until(lambda: sidecar.requests)
    assert not any(task.done() for task in closing)
    sidecar.open.set()
    await asyncio.gather(*closing)
    assert sidecar.data == [1]


async def test_closing_refuses_publishers_that_wait_for_capacity(sidecar, publisher):
    sidecar.open.clear()
    batch = publisher.batching(max_pending_events=1)
    await batch.publish_async("t", 1)
    waiting = asyncio.create_task(batch.publish_async("t", 2))
    await until(lambda: sidecar.requests)
    closing = asyncio.create_task(batch.close())
    with pytest.raises(errors.ClientClosedError):
        await waiting
    sidecar.open.set()
    await closing
    assert sidecar.data == [1]


async def test_an_exception_in_the_block_is_not_masked_and_events_still_go_out(
    sidecar, publisher, caplog
):
    sidecar.refuse = refusing(1)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what the block does is the point
        async with publisher.batching() as batch:
            await publish_all(batch, range(3))
            raise ZeroDivisionError
    assert sidecar.data == [0, 2]
    [record] = [record for record in caplog.records if record.name == LOG]
    assert "ZeroDivisionError; events not published: 1" in record.getMessage()


async def test_closing_is_bounded_and_names_what_was_left(sidecar, publisher):
    sidecar.open.clear()
    batch = publisher.batching(timeout=0.3 * UNIT)
    receipts = [await batch.publish_async("t", number, timeout=None) for number in range(250)]
    with pytest.raises(errors.DeadlineExceededError, match="250 of 250") as caught:
        await batch.close()
    assert [one.index for one in caught.value.failed] == list(range(250))
    assert all(receipt.done for receipt in receipts)
    assert batch.stats.queued == batch.stats.in_flight == 0
    await until(lambda: sidecar.at_once == 0)


async def test_on_failed_gets_the_failures_of_closing(sidecar, publisher):
    sidecar.open.clear()
    reported = []
    batch = publisher.batching(timeout=0.2 * UNIT, on_failed=reported.append)
    await batch.publish_async("t", 1, timeout=None)
    await batch.close()
    assert [one.index for one in reported] == [0]


async def test_an_on_failed_that_never_returns_does_not_hold_up_closing(sidecar, publisher):
    sidecar.failure = (grpc.StatusCode.PERMISSION_DENIED, "no")
    entered = asyncio.Event()

    async def stuck(failed):
        if entered.is_set():
            return
        entered.set()
        await asyncio.Event().wait()

    batch = publisher.batching(timeout=0.3 * UNIT, on_failed=stuck)
    await publish_all(batch, range(3))
    await entered.wait()
    await batch.close()
    assert batch.stats.failed == 3


async def test_cancelled_closing_ends_at_once_and_logs_how_much_was_lost(
    sidecar, publisher, caplog
):
    sidecar.open.clear()
    batch = publisher.batching()
    receipts = await publish_all(batch, range(250))
    closing = asyncio.create_task(batch.close())
    await asyncio.sleep(0)  # A task that is cancelled before its first turn never runs.
    await until(lambda: sidecar.at_once)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    [record] = [record for record in caplog.records if record.name == LOG]
    assert "events not published: 250" in record.getMessage()
    with pytest.raises(errors.ClientClosedError):
        await receipts[0]
    await until(lambda: sidecar.at_once == 0)
    await batch.close()


async def test_a_block_left_by_cancellation_still_sends_what_it_has(sidecar, publisher):
    started = asyncio.Event()

    async def produce():
        async with publisher.batching(linger=3600) as batch:
            await publish_all(batch, range(3))
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(produce())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(sidecar.data) == [0, 1, 2]


async def test_closing_the_publisher_sends_what_its_batches_hold(sidecar):
    async with DaprPublisher(address=sidecar.address) as publisher:
        batches = [publisher.batching(linger=3600) for _ in range(2)]
        for batch in batches:
            await batch.publish_async("t", 1)
    assert sidecar.data == [1, 1]
    with pytest.raises(errors.ClientClosedError):
        await batches[0].publish_async("t", 1)
    await batches[0].close()


async def test_closing_the_publisher_raises_what_its_batches_could_not_publish(sidecar):
    sidecar.refuse = refusing(1)
    publisher = DaprPublisher(address=sidecar.address)
    batch = publisher.batching()
    await publish_all(batch, range(3))
    with pytest.raises(PublishFailedError, match="1 of 3"):
        await publisher.close()
    assert "closed" in repr(publisher)
    await publisher.close()


async def test_a_publisher_left_by_an_exception_logs_what_its_batches_lost(sidecar, caplog):
    sidecar.refuse = refusing(1)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what the block does is the point
        async with DaprPublisher(address=sidecar.address) as publisher:
            await publisher.batching().publish_async("t", 1)
            raise ZeroDivisionError
    assert "events not published: 1" in caplog.text


async def test_cancelling_the_close_of_a_publisher_closes_it_all_the_same(sidecar, caplog):
    sidecar.open.clear()
    publisher = DaprPublisher(address=sidecar.address)
    await publish_all(publisher.batching(), range(3))
    closing = asyncio.create_task(publisher.close())
    await until(lambda: sidecar.at_once)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert "events not published: 3" in caplog.text
    with pytest.raises(errors.ClientClosedError):
        await publisher.publish_async("t", 1)


async def test_a_batch_shows_its_progress(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching(max_events=10, max_in_flight=2, linger=3600) as batch:
        await publish_all(batch, range(25))
        await until(lambda: sidecar.at_once == 2)
        assert "5 queued, 20 in flight, 0 published, 0 failed" in repr(batch)
        sidecar.open.set()
    assert batch.stats.published == 25
    assert batch.stats.batches == 3


def test_another_loop_says_so():
    publisher = DaprPublisher(address="127.0.0.1:1")
    batch = publisher.batching(timeout=0.1 * UNIT, on_failed=lambda failed: None)

    async def use():
        await batch.publish_async("t", "x")
        await batch.close()

    asyncio.run(use())
    with pytest.raises(errors.WrongLoopError):
        asyncio.run(batch.publish_async("t", "x"))


async def test_a_receipt_awaited_in_another_loop_says_so(sidecar, publisher):
    async with publisher.batching(linger=100 * UNIT) as batch:
        receipt = await batch.publish_async("t", "x")

        async def wait():
            await receipt

        with pytest.raises(errors.WrongLoopError):
            await asyncio.to_thread(asyncio.run, wait())
        await batch.flush()
        assert await receipt


async def test_many_short_lived_topics_leave_nothing_behind(sidecar, publisher):
    async with publisher.batching(linger=0, timeout=None) as batch:
        for number in range(500):
            await batch.publish_async(f"topic-{number}", number)
        await batch.flush()
        assert batch._delivery._queue._topics == {}


# What must not happen, and what becomes of events then


async def test_an_unexpected_error_is_reported_for_each_event(publisher, caplog, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(grpc.aio._channel.UnaryUnaryMultiCallable, "__call__", broken)
    with pytest.raises(errors.InternalError, match="ZeroDivisionError") as caught:
        async with publisher.batching() as batch:
            await publish_all(batch, range(3))
    assert len(caught.value.failed) == 3
    errors_logged = [record.name for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors_logged == ["virtufin.api.client.transport"]


async def test_tasks_cancelled_by_others_fail_everything_that_is_left(sidecar, publisher):
    sidecar.open.clear()
    async with publisher.batching(max_events=10, max_in_flight=2) as batch:
        receipts = await publish_all(batch, range(50))
        await until(lambda: sidecar.at_once == 2)
        tasks = [task for task in asyncio.all_tasks() if task.get_name().endswith("publish-batch")]
        tasks[0].cancel()
        with pytest.raises(errors.ClientClosedError):
            await receipts[49]
        with pytest.raises(PublishFailedError) as caught:
            await batch.flush()
        assert len(caught.value.failed) == 50


async def test_a_loop_that_ends_without_closing_logs_what_was_lost(caplog):
    def run():
        publisher = DaprPublisher(address="127.0.0.1:1")

        async def use():
            await publish_all(publisher.batching(max_events=10, max_in_flight=2), range(50))
            await asyncio.sleep(0)

        asyncio.run(use())

    await asyncio.to_thread(run)
    gc.collect()
    assert "a batch was never closed; events not published: 50" in caplog.text


async def test_a_batch_that_was_never_sent_nor_closed_is_logged(caplog):
    async def use():
        publisher = DaprPublisher(address="127.0.0.1:1")
        await publisher.batching(linger=3600).publish_async("t", 1)
        for handle in asyncio.get_running_loop()._scheduled:
            handle.cancel()

    await use()
    gc.collect()
    assert "a batch was never closed; events not published: 1" in caplog.text


async def test_a_failure_holds_no_more_than_its_event(sidecar, publisher):
    sidecar.failure = (grpc.StatusCode.PERMISSION_DENIED, "no")
    async with publisher.batching(on_failed=lambda failed: None) as batch:
        receipt = await batch.publish_async("t", 1)
        await batch.flush()
        # A traceback would hold the frames of the call, and with these its request.
        assert receipt.error.__traceback__ is None
        with pytest.raises(errors.PermissionDeniedError):
            await receipt
        assert receipt.error.__traceback__ is None


async def test_an_event_whose_time_is_up_before_it_is_sent_is_not_sent(sidecar, publisher):
    async with publisher.batching(linger=0.2 * UNIT, on_failed=lambda failed: None) as batch:
        receipts = [await batch.publish_async("t", n, timeout=0.05 * UNIT) for n in range(3)]
        for receipt in receipts:
            with pytest.raises(errors.DeadlineExceededError, match="nothing was left"):
                await receipt
    assert sidecar.bulks == sidecar.requests == []
