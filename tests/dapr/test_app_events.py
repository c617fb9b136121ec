"""The answer to the sidecar for each outcome of a handler, on either server."""

import asyncio
import json
import logging

import grpc
import pytest
from dapr.proto import appcallback_v1

from tests.dapr.delivering import ALPHA, CALLBACK, request_event, status_of, topic_event
from tests.timing import UNIT
from virtufin.api.client import NotFoundError, PubsubEvent
from virtufin.api.dapr import DaprApp, Drop

pytestmark = pytest.mark.filterwarnings("ignore:OnBulkTopicEventAlpha1:DeprecationWarning")


@pytest.fixture
def app(sidecar):
    return DaprApp(port=0, sidecar_address=sidecar.address)


async def test_returning_acknowledges(app, serving):
    @app.subscribe("orders")
    async def handler(event):
        return None

    async with serving(app) as caller:
        assert await caller.event() == "SUCCESS"


async def test_an_exception_has_the_event_delivered_again_and_is_reported(sidecar, serving, caplog):
    reported = []

    async def on_error(error):
        reported.append(error)

    app = DaprApp(port=0, on_error=on_error)

    @app.subscribe("orders")
    async def handler(event):
        raise RuntimeError("out of luck")

    async with serving(app) as caller:
        assert await caller.event() == "RETRY"
    assert [str(error) for error in reported] == ["out of luck"]
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.name == "virtufin.api.dapr.app"
    assert record.message == "handler of event '1' of topic 'orders' failed"


async def test_an_on_error_that_fails_changes_nothing(serving, caplog):
    def on_error(error):
        raise ValueError("I too")

    app = DaprApp(port=0, on_error=on_error)

    @app.subscribe("orders")
    async def handler(event):
        raise RuntimeError

    async with serving(app) as caller:
        assert await caller.event() == "RETRY"
    assert "on_error failed" in caplog.text


async def test_drop_drops(app, serving, caplog):
    @app.subscribe("orders")
    async def handler(event):
        raise Drop("no use")

    async with serving(app) as caller:
        assert await caller.event() == "DROP"
    assert "event '1' of topic 'orders' was dropped by its handler: no use" in caplog.text


class Unready(Drop):
    def __init__(self, what):
        self.what = what


@pytest.mark.parametrize(
    ("drop", "reason"), [(Drop(7), "7"), (Drop(KeyError("a")), "'a'"), (Unready("b"), "")], ids=str
)
async def test_every_drop_drops_and_is_reported(app, sidecar, serving, drop, reason):
    @app.subscribe("orders")
    async def handler(event):
        raise drop

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event())) == "DROP"
    assert [reply["data"]["message"] for reply in sidecar.events] == [reason]


async def test_a_cause_of_a_drop_may_be_anything(app, sidecar, serving):
    @app.subscribe("orders")
    async def handler(event):
        raise Drop("gone") from NotFoundError(7)

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event())) == "DROP"
    assert [reply["data"]["message"] for reply in sidecar.events] == ["7"]


async def test_a_plain_function_is_a_handler_too(app, serving):
    seen = []

    @app.subscribe("orders")
    def handler(event):
        seen.append(event.data_as_json())

    async with serving(app) as caller:
        assert await caller.event(data={"a": 1}) == "SUCCESS"
    assert seen == [{"a": 1}]


async def test_a_cancellation_raised_by_a_handler_has_the_event_delivered_again(app, serving):
    @app.subscribe("orders")
    async def handler(event):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with serving(app) as caller:
        assert await caller.event() == "RETRY"


class Unusual(BaseException):
    pass


@pytest.mark.parametrize("error", [Unusual("odd"), GeneratorExit()], ids=repr)
async def test_a_base_exception_has_the_event_delivered_again_and_is_reported(serving, error):
    reported = []
    app = DaprApp(port=0, on_error=reported.append)

    @app.subscribe("orders", bulk=True)
    async def handler(event):
        if event.data_as_json() == "bad":
            raise error

    async with serving(app) as caller:
        answer = await asyncio.wait_for(caller.bulk(bulk_request(a="bad", b="")), 10 * UNIT)
    assert answer == {"a": "RETRY", "b": "SUCCESS"}
    [cut] = reported
    assert repr(error) in str(cut)


async def test_an_on_error_that_is_cancelled_changes_nothing(serving, caplog):
    async def on_error(error):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    app = DaprApp(port=0, on_error=on_error)

    @app.subscribe("orders")
    async def handler(event):
        raise asyncio.CancelledError

    async with serving(app) as caller:
        assert await asyncio.wait_for(caller.event(), 10 * UNIT) == "RETRY"
    assert "on_error failed" in caplog.text


async def test_a_handler_gets_the_event_as_it_was_published(app, serving):
    seen = []

    @app.subscribe("orders")
    async def handler(event):
        seen.append(event)

    extensions = {
        "subject": "order/7",
        "runid": 7,
        "live": True,
        "scenarioid": "s",
        "replytopic": "r",
    }
    request = topic_event(data={"ü": [1, 2.5]}, extensions=extensions)
    async with serving(app) as caller:
        assert status_of(await caller.send(request)) == "SUCCESS"
    [event] = seen
    assert isinstance(event, PubsubEvent)
    assert (event.topic, event.message_id, event.source) == ("orders", "1", "urn:com.virtufin.test")
    assert (event.type, event.subject) == ("com.virtufin.test.happened", "order/7")
    assert event.timestamp == "2026-01-02T03:04:05Z"
    assert event.content_type == "application/json"
    assert event.data_as_json() == {"ü": [1, 2.5]}
    assert event.extensions == {"runid": 7, "live": True, "scenarioid": "s", "replytopic": "r"}


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain"])
async def test_data_other_than_json_arrives_as_it_was(app, serving, content_type):
    seen = []

    @app.subscribe("orders")
    async def handler(event):
        seen.append((event.data, event.content_type))

    async with serving(app) as caller:
        await caller.event(data_content_type=content_type, data=None)
        request = topic_event(data_content_type=content_type)
        request.data = b"abc"
        await caller.send(request)
    assert seen[1] == (b"abc", content_type)


# Replies


async def test_data_that_is_returned_answers_a_request(app, sidecar, serving):
    @app.subscribe("orders")
    async def handler(event):
        return {"accepted": event.data_as_json()["id"]}

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event(data={"id": 7}))) == "SUCCESS"
    [published] = sidecar.requests
    assert (published.pubsub_name, published.topic) == ("pubsub", "replies")
    [reply] = sidecar.events
    assert reply["correlationid"] == "c-1"
    assert reply["data"] == {"accepted": 7}
    assert "replystatus" not in reply


async def test_a_reply_goes_to_the_component_that_the_request_came_from(app, sidecar, serving):
    @app.subscribe("orders", "second")
    async def handler(event):
        return "yes"

    async with serving(app) as caller:
        for _ in range(2):
            await caller.send(request_event(pubsub_name="second"))
    assert [published.pubsub_name for published in sidecar.requests] == ["second", "second"]


async def test_data_returned_for_an_event_that_is_no_request_goes_nowhere(app, sidecar, serving):
    @app.subscribe("orders")
    async def handler(event):
        return "unrequested"

    async with serving(app) as caller:
        assert await caller.event() == "SUCCESS"
    assert sidecar.requests == []


async def test_a_request_may_be_acknowledged_without_a_reply(app, sidecar, serving):
    @app.subscribe("orders")
    async def handler(event):
        return None

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event())) == "SUCCESS"
    assert sidecar.requests == []


async def test_a_dropped_request_is_reported_to_the_requester(app, sidecar, serving):
    @app.subscribe("orders")
    async def handler(event):
        raise Drop("no quantity")

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event())) == "DROP"
    [reply] = sidecar.events
    assert reply["type"] == "com.virtufin.client.reply.failed"
    assert (reply["correlationid"], reply["replystatus"]) == ("c-1", "INVALID_REQUEST")
    assert reply["data"] == {"status": "INVALID_REQUEST", "message": "no quantity"}


async def test_a_drop_has_the_meaning_of_its_cause(app, sidecar, serving):
    @app.subscribe("orders")
    async def handler(event):
        raise Drop("gone") from NotFoundError("no order 7")

    async with serving(app) as caller:
        await caller.send(request_event())
    [reply] = sidecar.events
    assert reply["data"] == {"status": "NOT_FOUND", "message": "no order 7"}


async def test_a_failure_that_is_tried_again_is_not_reported(app, sidecar, serving):
    @app.subscribe("orders")
    async def handler(event):
        raise RuntimeError

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event())) == "RETRY"
    assert sidecar.requests == []


async def test_a_reply_that_json_cannot_hold_drops_the_event_and_is_reported(app, sidecar, serving):
    @app.subscribe("orders")
    async def handler(event):
        return {"when": object()}

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event())) == "DROP"
    [reply] = sidecar.events
    assert "cannot be sent as JSON" in reply["data"]["message"]


async def test_a_reply_that_the_sidecar_does_not_take_has_the_request_delivered_again(
    app, sidecar, serving, caplog
):
    sidecar.failure = (grpc.StatusCode.UNAVAILABLE, "broker away")

    @app.subscribe("orders")
    async def handler(event):
        return "yes"

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event())) == "RETRY"
    assert "reply to event '1' of topic 'orders' failed" in caplog.text


async def test_a_drop_that_cannot_be_reported_is_still_a_drop(app, sidecar, serving, caplog):
    sidecar.failure = (grpc.StatusCode.UNAVAILABLE, "broker away")

    @app.subscribe("orders")
    async def handler(event):
        raise Drop("no use")

    async with serving(app) as caller:
        assert status_of(await caller.send(request_event())) == "DROP"
    assert "reporting the failure of event '1'" in caplog.text


async def test_tokens_do_not_show_in_reports(sidecar, serving):
    app = DaprApp(port=0, sidecar_address=sidecar.address, sidecar_token="s3cret-token")

    @app.subscribe("orders")
    async def handler(event):
        raise Drop("refused with s3cret-token")

    async with serving(app) as caller:
        await caller.send(request_event())
    assert sidecar.events[0]["data"]["message"] == "refused with ***"


# Which handler


async def test_a_rule_chooses_the_handler_by_its_path(app, serving):
    seen = []

    @app.subscribe("orders", match='event.type == "a"')
    async def first(event):
        seen.append("first")

    @app.subscribe("orders", match='event.type == "b"', path="/b")
    async def second(event):
        seen.append("second")

    @app.subscribe("orders")
    async def other(event):
        seen.append("other")

    async with serving(app) as caller:
        [wanted] = await caller.subscriptions()
        rules = {rule.match: rule.path for rule in wanted.routes.rules}
        assert list(rules) == ['event.type == "a"', 'event.type == "b"']
        paths = [rules['event.type == "a"'], "/b", wanted.routes.default]
        # daprd takes a default without a path, beside rules, for none.
        assert all(paths)
        assert len(set(paths)) == 3
        for path in paths:
            assert await caller.event(path=path) == "SUCCESS"
    assert seen == ["first", "second", "other"]


async def test_a_subscription_says_how_events_are_wanted(app, serving):
    @app.subscribe(
        "orders", "second", dead_letter_topic="dead", bulk=True, metadata={"rawPayload": "false"}
    )
    async def handler(event):
        pass

    async with serving(app) as caller:
        [wanted] = await caller.subscriptions()
    assert (wanted.pubsub_name, wanted.topic) == ("second", "orders")
    assert wanted.dead_letter_topic == "dead"
    assert dict(wanted.metadata) == {"rawPayload": "false"}
    bulk = wanted.bulk_subscribe
    assert (bulk.enabled, bulk.max_messages_count, bulk.max_await_duration_ms) == (True, 100, 100)


async def test_a_declared_subscription_is_not_offered_and_is_handled(app, serving):
    @app.subscribe("orders", path="/orders", declared=True)
    async def handler(event):
        pass

    async with serving(app) as caller:
        assert await caller.subscriptions() == []
        assert await caller.event(path="/orders") == "SUCCESS"


async def test_an_event_without_a_handler_is_not_dropped(app, own, caplog):
    async with own(app) as caller:
        assert await caller.event(topic="unknown") == "RETRY"
    assert "no handler for topic 'unknown' of 'pubsub'" in caplog.text


async def test_an_unknown_path_goes_to_the_topics_default(app, own):
    @app.subscribe("orders", declared=True)
    async def handler(event):
        pass

    async with own(app) as caller:
        assert await caller.event(path="/any") == "SUCCESS"


async def test_a_path_stands_for_a_pattern_of_topics(app, own):
    seen = []

    @app.subscribe("orders/#", path="/orders", declared=True)
    async def handler(event):
        seen.append(event.topic)

    async with own(app) as caller:
        assert await caller.event(topic="orders/7", path="/orders") == "SUCCESS"
    assert seen == ["orders/7"]


async def test_a_path_may_serve_several_topics(app, own):
    seen = []

    @app.subscribe("a", path="/all", declared=True)
    async def first(event):
        seen.append("a")

    @app.subscribe("b", path="/all", declared=True)
    async def second(event):
        seen.append("b")

    async with own(app) as caller:
        await caller.event(topic="b", path="/all")
        await caller.event(topic="a", path="/all")
    assert seen == ["b", "a"]


# Bulk


def bulk_request(**entries):
    request = appcallback_v1.TopicEventBulkRequest(id="b", topic="orders", pubsub_name="pubsub")
    for name, data in entries.items():
        single = topic_event(data=data, id=name)
        entry = request.entries.add(entry_id=name)
        event = entry.cloud_event
        event.id, event.source, event.type = single.id, single.source, single.type
        event.spec_version, event.data_content_type = "1.0", single.data_content_type
        event.data = single.data
        event.extensions.CopyFrom(single.extensions)
    return request


async def test_the_metadata_of_an_entry_is_no_part_of_its_event(app, serving):
    seen = []

    @app.subscribe("orders", bulk=True)
    async def handler(event):
        seen.append(event.extensions)

    request = bulk_request(a=None)
    request.entries[0].metadata["pubsubName"] = "pubsub"
    async with serving(app) as caller:
        assert await caller.bulk(request) == {"a": "SUCCESS"}
    assert seen == [{}]


@pytest.fixture
def outcomes(app):
    @app.subscribe("orders", path="/orders", declared=True)
    async def handler(event):
        if event.data_as_json() == "drop":
            raise Drop
        if event.data_as_json() == "fail":
            raise RuntimeError

    return app


async def test_each_event_of_a_bulk_delivery_has_its_own_outcome(outcomes, serving):
    request = bulk_request(a="fine", b="fail", c="drop", d="fine")
    request.path = "/orders"
    async with serving(outcomes) as caller:
        answer = await caller.bulk(request)
    assert answer == {"a": "SUCCESS", "b": "RETRY", "c": "DROP", "d": "SUCCESS"}


async def test_bulk_delivery_has_an_older_name(outcomes, own):
    async with own(outcomes) as caller:
        answer = await caller.bulk(bulk_request(a="drop"), f"{ALPHA}/OnBulkTopicEventAlpha1")
    assert answer == {"a": "DROP"}


async def test_a_bulk_delivery_of_raw_payloads(app, own):
    seen = []

    @app.subscribe("orders")
    async def handler(event):
        seen.append((event.message_id, event.type, event.data))

    request = appcallback_v1.TopicEventBulkRequest(topic="orders", pubsub_name="pubsub")
    request.entries.add(entry_id="1", bytes=b"\x00\x01", content_type="application/x")
    request.entries.add(entry_id="2", bytes=b"\x02")
    event = {"specversion": "1.0", "id": "e", "source": "s", "type": "t", "data": "x"}
    request.entries.add(
        entry_id="3",
        bytes=json.dumps(event).encode(),
        content_type="application/cloudevents+json",
    )
    async with own(app) as caller:
        assert set((await caller.bulk(request)).values()) == {"SUCCESS"}
    raw = "com.dapr.event.sent"
    assert sorted(seen) == [("1", raw, b"\x00\x01"), ("2", raw, b"\x02"), ("e", "t", b"x")]


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "application/problem+json", "image/svg+xml"]
)
async def test_data_that_the_sidecar_left_out_is_not_taken_for_empty(
    app, serving, caplog, content_type
):
    @app.subscribe("orders", bulk=True)
    async def handler(event):
        pass

    request = bulk_request(a=None, b=None)
    request.entries[0].cloud_event.data_content_type = content_type
    for entry in request.entries:
        entry.cloud_event.data = b""
    async with serving(app) as caller:
        assert await caller.bulk(request) == {"a": "DROP", "b": "SUCCESS"}
    assert "subscribe without bulk=" in caplog.text


async def test_an_event_that_cannot_be_read_is_dropped(app, own, caplog):
    @app.subscribe("orders")
    async def handler(event):
        pass

    request = appcallback_v1.TopicEventBulkRequest(topic="orders", pubsub_name="pubsub")
    kind = "application/cloudevents+json"
    request.entries.add(entry_id="1", bytes=b"{", content_type=kind)
    async with own(app) as caller:
        assert await caller.bulk(request) == {"1": "DROP"}
    [message] = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert "cannot be read, it is dropped" in message


async def test_an_event_that_protobuf_cannot_read_is_dropped(app, own, caplog):
    @app.subscribe("orders")
    async def handler(event):
        pass

    # Its tenth field, the extensions, of a length that goes beyond the end.
    async with own(app) as caller:
        call = caller.channel.unary_unary(
            f"{CALLBACK}/OnTopicEvent",
            response_deserializer=appcallback_v1.TopicEventResponse.FromString,
        )
        assert status_of(await call(b"\x52\xff")) == "DROP"
    assert "cannot be read, it is dropped" in caplog.text


# How many at a time, and calls that are given up


async def test_no_more_handlers_run_than_the_app_allows(serving):
    app = DaprApp(port=0, max_concurrency=3)
    running = most = 0
    go = asyncio.Event()

    @app.subscribe("orders")
    async def handler(event):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    async with serving(app) as caller:
        calls = [asyncio.ensure_future(caller.event(id=str(n))) for n in range(8)]
        while most < 3:
            await asyncio.sleep(0.001)
        # Everything that was sent has come in when a later call of another kind is answered.
        await caller.subscriptions()
        go.set()
        assert await asyncio.gather(*calls) == ["SUCCESS"] * 8
    assert most == 3


async def test_a_call_that_the_sidecar_gives_up_cancels_its_handler(app, own):
    began, cancelled = asyncio.Event(), asyncio.Event()

    @app.subscribe("orders")
    async def handler(event):
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with own(app) as caller:
        call = caller.send(topic_event())
        await began.wait()
        assert not cancelled.is_set()
        call.cancel()
        assert await asyncio.wait_for(cancelled.wait(), 10 * UNIT)


async def test_a_call_that_is_given_up_while_it_waits_leaves_its_place(own):
    app = DaprApp(port=0, max_concurrency=1)
    began, go = asyncio.Event(), asyncio.Event()
    seen = []

    @app.subscribe("orders")
    async def handler(event):
        seen.append(event.message_id)
        began.set()
        await go.wait()

    async with own(app) as caller:
        first = asyncio.ensure_future(caller.event(id="1"))
        await began.wait()
        waiting = caller.send(topic_event(id="2"))
        last = asyncio.ensure_future(caller.event(id="3"))
        await caller.subscriptions()
        waiting.cancel()
        await caller.subscriptions()
        go.set()
        assert [await first, await last] == ["SUCCESS", "SUCCESS"]
    assert seen == ["1", "3"]


# The token


async def test_deliveries_without_the_token_are_refused(serving):
    app = DaprApp(port=0, api_token="t0ken")

    @app.subscribe("orders")
    async def handler(event):
        pass

    async with serving(app) as caller:
        for metadata in ((), (("dapr-api-token", "wrong"),)):
            caller.metadata = metadata
            with pytest.raises(grpc.aio.AioRpcError, match="dapr-api-token") as caught:
                await caller.event()
            assert "t0ken" not in str(caught.value)
        caller.metadata = (("dapr-api-token", "t0ken"),)
        assert await caller.event() == "SUCCESS"


async def test_a_refused_token_is_unauthenticated(own, monkeypatch):
    monkeypatch.setenv("APP_API_TOKEN", "t0ken")
    app = DaprApp(port=0)
    async with own(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.event()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_sidecar_s_questions_about_the_app_need_no_token(serving):
    app = DaprApp(port=0, api_token="t0ken")
    async with serving(app) as caller:
        assert await caller.subscriptions() == []
        assert await caller.bindings() == []
        assert await caller.healthy()
