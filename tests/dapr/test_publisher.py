"""DaprPublisher against a real gRPC server that plays the sidecar."""

import asyncio
import socket
import uuid

import grpc
import pytest

from virtufin.api.client import errors
from virtufin.api.dapr import DaprPublisher
from virtufin.api.protos.cloudevents_pb2 import CloudEvent


async def test_publishes_a_complete_cloudevent(sidecar, publisher):
    result = await publisher.publish_async("my-topic", {"key": "value"})
    assert result == {"success": True, "status": "OK", "message": ""}
    [request] = sidecar.requests
    assert (request.pubsub_name, request.topic) == ("pubsub", "my-topic")
    assert request.data_content_type == "application/cloudevents+json"
    [event] = sidecar.events
    assert uuid.UUID(event.pop("id"))
    assert event.pop("time").endswith("Z")
    assert event == {
        "specversion": "1.0",
        "source": "urn:com.virtufin.client",
        "type": "com.virtufin.client.event.published",
        "datacontenttype": "application/json",
        "data": {"key": "value"},
    }


async def test_attributes_and_extensions_survive(sidecar, publisher):
    await publisher.publish_async(
        "t",
        "text",
        {"ce-id": "1", "scenarioid": "s"},
        type="com.virtufin.test.x",
        source="urn:com.virtufin.test",
        subject="worker/1",
        extensions={"runid": 7, "live": True},
        correlation_id="c",
        reply_topic="r",
    )
    [event] = sidecar.events
    event.pop("time")
    assert event == {
        "specversion": "1.0",
        "id": "1",
        "source": "urn:com.virtufin.test",
        "type": "com.virtufin.test.x",
        "datacontenttype": "text/plain; charset=utf-8",
        "subject": "worker/1",
        "scenarioid": "s",
        "runid": 7,
        "live": True,
        "correlationid": "c",
        "replytopic": "r",
        "data": "text",
    }


async def test_a_ready_cloudevent_goes_out_untouched(sidecar, publisher):
    await publisher.publish_async("t", CloudEvent(id="7", source="s", type="t", spec_version="1.0"))
    assert sidecar.events == [{"specversion": "1.0", "id": "7", "source": "s", "type": "t"}]


async def test_the_source_can_be_set_for_all(sidecar, monkeypatch):
    async with DaprPublisher(address=sidecar.address, source="urn:a") as publisher:
        await publisher.publish_async("t", "")
    monkeypatch.setenv("VIRTUFIN_API_SOURCE", "urn:b")
    async with DaprPublisher(address=sidecar.address) as publisher:
        await publisher.publish_async("t", "")
    assert [event["source"] for event in sidecar.events] == ["urn:a", "urn:b"]


@pytest.mark.parametrize("variables", ["endpoint", "port", "host and port"])
async def test_address_and_token_come_from_the_environment(sidecar, monkeypatch, variables):
    if variables == "endpoint":
        monkeypatch.setenv("DAPR_GRPC_ENDPOINT", f"dns:localhost:{sidecar.port}")
        monkeypatch.setenv("DAPR_GRPC_PORT", "1")
    else:
        monkeypatch.setenv("DAPR_GRPC_PORT", str(sidecar.port))
    if variables == "host and port":
        monkeypatch.setenv("DAPR_RUNTIME_HOST", "localhost")
    monkeypatch.setenv("DAPR_API_TOKEN", "secret-token")
    async with DaprPublisher(pubsub_name="orders") as publisher:
        await publisher.publish_async("t", 1)
        assert "secret-token" not in repr(publisher)
    assert sidecar.requests[0].pubsub_name == "orders"
    assert sidecar.metadata[0]["dapr-api-token"] == "secret-token"


def test_the_default_address_is_dapr_s():
    assert "127.0.0.1:50001" in repr(DaprPublisher())


async def test_the_token_never_shows_in_an_error(sidecar):
    sidecar.failure = (grpc.StatusCode.UNAUTHENTICATED, "wrong token s3cr3t")
    async with DaprPublisher(address=sidecar.address, api_token="s3cr3t") as publisher:
        with pytest.raises(errors.UnauthenticatedError, match="DAPR_API_TOKEN") as caught:
            await publisher.publish_async("t", "x")
    assert "s3cr3t" not in f"{caught.value} {caught.value.details()} {caught.value!r}"


async def test_without_a_token_none_is_sent(sidecar, publisher):
    await publisher.publish_async("t", 1)
    assert "dapr-api-token" not in sidecar.metadata[0]


@pytest.mark.parametrize(
    ("variables", "peer"),
    [
        ({"DAPR_GRPC_ENDPOINT": "[::1]:5"}, "dns:[::1]:5"),
        ({"DAPR_GRPC_ENDPOINT": "dns:[2001:db8::1]:5"}, "dns:[2001:db8::1]:5"),
        ({"DAPR_GRPC_ENDPOINT": "[1:2:3:4:5:6:7:8]:5"}, "dns:[1:2:3:4:5:6:7:8]:5"),
        ({"DAPR_RUNTIME_HOST": "::1", "DAPR_GRPC_PORT": "5"}, "dns:[::1]:5"),
    ],
    ids=str,
)
def test_an_address_may_be_ipv6(monkeypatch, variables, peer):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert repr(DaprPublisher()) == f"<DaprPublisher 'pubsub' at {peer}>"


def test_the_constructor_needs_neither_a_loop_nor_a_sidecar(monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    assert DaprPublisher().pubsub_name == "pubsub"


@pytest.mark.parametrize(
    "arguments",
    [
        {"pubsub_name": ""},
        {"address": ""},
        {"address": "ftp://host:1"},
        {"api_token": ""},
        {"api_token": "a\nb"},
        {"timeout": -1},
        {"timeout": "1"},
    ],
    ids=str,
)
def test_bad_settings_are_refused_at_once(arguments):
    with pytest.raises(errors.InvalidInputError):
        DaprPublisher(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("", "data"),
        (None, "data"),
        ("t", {1: "x"}),
        ("t", float("nan")),
        ("t", 1j),
        ("t", "data", {"Bad-Name": "x"}),
        ("t", CloudEvent(id="1", source="s", type="t"), 5),
        ("t", CloudEvent(id="1", source="s", type="t"), {5: "x"}),
    ],
    ids=repr,
)
async def test_bad_input_is_refused_before_anything_is_sent(sidecar, publisher, arguments):
    with pytest.raises(errors.InvalidInputError) as caught:
        await publisher.publish_async(*arguments)
    assert isinstance(caught.value, ValueError)
    assert sidecar.requests == []


@pytest.mark.parametrize("code", list(grpc.StatusCode)[1:], ids=lambda code: code.name)
async def test_every_status_is_one_of_our_errors(sidecar, publisher, code):
    sidecar.failure = (code, "no such component")
    with pytest.raises(errors.VirtufinError, match="no such component") as caught:
        await publisher.publish_async("my-topic", "x")
    assert isinstance(caught.value, grpc.RpcError)
    assert caught.value.code() is code
    assert "gateway" not in str(caught.value)
    assert caught.value.topic == "my-topic"
    assert caught.value.method == "dapr.proto.runtime.v1.Dapr/PublishEvent"


async def test_a_sidecar_that_does_not_answer_ends_in_a_timeout(sidecar):
    sidecar.delay = 60
    async with DaprPublisher(address=sidecar.address, timeout=0.2) as publisher:
        with pytest.raises(TimeoutError) as caught:
            await publisher.publish_async("t", "x")
        assert isinstance(caught.value, errors.DeadlineExceededError)
        with pytest.raises(errors.DeadlineExceededError):
            await publisher.publish_async("t", "x", timeout=0.1)


HINTS = [
    (grpc.StatusCode.INVALID_ARGUMENT, "pubsub nope is not found", "metadata.name"),
    (grpc.StatusCode.PERMISSION_DENIED, "topic t is not allowed for app id A", "publishingScopes"),
    (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "grpc: received message larger than max (5000157 vs. 4194304)",
        "--max-body-size",
    ),
    (grpc.StatusCode.UNAUTHENTICATED, "Unauthorized", "DAPR_API_TOKEN"),
    (grpc.StatusCode.INTERNAL, "error when publishing to topic t in pubsub p: OOM", "broker"),
    (grpc.StatusCode.UNIMPLEMENTED, "unknown service", "port of a Dapr sidecar"),
]


@pytest.mark.parametrize(("code", "text", "hint"), HINTS, ids=[hint for _, _, hint in HINTS])
async def test_an_error_of_the_sidecar_comes_with_advice(sidecar, publisher, code, text, hint):
    sidecar.failure = (code, text)
    with pytest.raises(errors.VirtufinError, match=hint) as caught:
        await publisher.publish_async("t", "x")
    assert text in str(caught.value)
    assert caught.value.details() == text


async def test_no_gateway_is_unavailable_and_the_error_names_the_address():
    async with DaprPublisher(address="127.0.0.1:1") as publisher:
        with pytest.raises(errors.UnavailableError, match=r"Dapr sidecar.*127\.0\.0\.1:1"):
            await publisher.publish_async("t", "x", timeout=5)


async def test_cancelling_cancels_on_the_wire(sidecar, publisher):
    sidecar.delay = 60
    task = asyncio.create_task(publisher.publish_async("t", "x"))
    while not sidecar.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(sidecar.cancelled.wait(), 5)


async def test_publishing_does_not_hold_up_the_loop(sidecar, publisher):
    sidecar.delay = 0.3
    publish = asyncio.create_task(publisher.publish_async("t", "x"))
    turns = 0
    while not publish.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns >= 5


async def test_large_data_that_changes_while_it_is_encoded_is_bad_input(sidecar, publisher):
    class Changing(dict):
        def items(self):
            raise RuntimeError("dictionary changed size during iteration")

    with pytest.raises(errors.InvalidInputError, match="changed"):
        await publisher.publish_async("t", Changing(text="x" * 100_000))
    assert sidecar.requests == []


async def test_a_large_event_arrives_whole(sidecar, publisher):
    data = {"rows": [{"number": number, "text": "x" * 20} for number in range(10_000)]}
    await publisher.publish_async("t", data, content_type="application/json")
    assert sidecar.data == [data]


async def test_a_ready_event_may_be_changed_once_it_is_published(sidecar, publisher):
    event = CloudEvent(id="7", source="s", type="t", spec_version="1.0", text_data="x" * 100_000)
    publish = asyncio.create_task(publisher.publish_async("t", event))
    await publish
    event.id = "8"
    assert sidecar.events[0]["id"] == "7"


async def test_many_at_once(sidecar, publisher):
    await asyncio.gather(*(publisher.publish_async("t", number) for number in range(200)))
    assert sorted(event["data"] for event in sidecar.events) == list(range(200))


async def test_use_after_close_says_so(sidecar):
    publisher = DaprPublisher(address=sidecar.address)
    await publisher.publish_async("t", "x")
    await publisher.close()
    await publisher.close()
    assert "closed" in repr(publisher)
    with pytest.raises(errors.ClientClosedError, match="closed"):
        await publisher.publish_async("t", "x")


def test_another_loop_says_so():
    publisher = DaprPublisher(address="127.0.0.1:1")

    async def use():
        await publisher.publish_async("t", "x", timeout=5)

    with pytest.raises(errors.UnavailableError):
        asyncio.run(use())
    with pytest.raises(errors.WrongLoopError):
        asyncio.run(use())
