"""publish_many_async against a real gRPC server that plays the sidecar."""

import asyncio
import pickle

import grpc
import pytest
from dapr.proto import api_v1

from tests.dapr.sidecar import Sidecar
from tests.timing import UNIT, until
from virtufin.api.client import deadline, errors
from virtufin.api.dapr import DaprPublisher, PublishFailedError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent


def ready(number):
    return CloudEvent(
        id=f"e{number}", source="s", type="t", spec_version="1.0", text_data=f"{number}"
    )


async def test_all_events_arrive_in_calls_of_at_most_100(sidecar, publisher):
    result = await publisher.publish_many_async("prices", range(250))
    assert result == {"success": True, "status": "OK", "message": "", "published": 250}
    assert sorted(sidecar.data) == list(range(250))
    assert sorted(len(bulk.entries) for bulk in sidecar.bulks) == [50, 100, 100]
    assert {(bulk.pubsub_name, bulk.topic) for bulk in sidecar.bulks} == {("pubsub", "prices")}
    types = {entry.content_type for bulk in sidecar.bulks for entry in bulk.entries}
    assert types == {"application/cloudevents+json"}


async def test_every_entry_of_a_call_has_an_id_of_its_own(sidecar, publisher):
    await publisher.publish_many_async("t", range(100))
    [bulk] = sidecar.bulks
    assert len({entry.entry_id for entry in bulk.entries}) == 100


async def test_no_call_holds_more_than_a_mebibyte(sidecar, publisher):
    await publisher.publish_many_async("t", ["x" * 300_000] * 10)
    assert [bulk.ByteSize() < 1024 * 1024 for bulk in sidecar.bulks] == [True] * 3
    assert (len(sidecar.requests), len(sidecar.accepted)) == (1, 10)


async def test_keywords_are_for_all_and_ready_events_stay_as_they_are(sidecar, publisher):
    await publisher.publish_many_async(
        "t", [1, 2], type="x", source="s", subject="u", extensions={"runid": 7}
    )
    for _, event in sidecar.accepted:
        found = {name: event[name] for name in ("type", "source", "subject", "runid")}
        assert found == {"type": "x", "source": "s", "subject": "u", "runid": 7}
    sidecar.accepted.clear()
    await publisher.publish_many_async("t", (ready(number) for number in range(2)))
    assert sorted(event["id"] for _, event in sidecar.accepted) == ["e0", "e1"]


async def test_nothing_to_publish_is_no_call(sidecar, publisher):
    assert (await publisher.publish_many_async("t", []))["published"] == 0
    assert sidecar.bulks == sidecar.requests == []


@pytest.mark.parametrize("data", ["text", b"bytes", {"a": 1}, 7, None], ids=repr)
async def test_a_single_payload_is_not_taken_for_many(sidecar, publisher, data):
    with pytest.raises(errors.InvalidInputError, match="several payloads"):
        await publisher.publish_many_async("t", data)


async def test_bad_input_is_named_by_its_index_and_nothing_is_sent(sidecar, publisher):
    with pytest.raises(errors.InvalidInputError, match=r"^event 150: .*JSON"):
        await publisher.publish_many_async("t", [*range(150), float("nan")])
    with pytest.raises(errors.InvalidInputError, match=r"^event 1: .*ready CloudEvent"):
        await publisher.publish_many_async("t", [1, ready(1)], subject="s")
    with pytest.raises(errors.InvalidInputError, match="topic"):
        await publisher.publish_many_async("", [1])
    with pytest.raises(errors.InvalidInputError, match="timeout"):
        await publisher.publish_many_async("t", [1], timeout=-1)
    assert sidecar.bulks == sidecar.requests == []


async def test_the_failed_events_are_named(sidecar, publisher):
    sidecar.refuse = lambda event: "too hot" if event["data"] in (7, 123) else None
    with pytest.raises(PublishFailedError, match=r"2 of 200 events.*too hot") as caught:
        await publisher.publish_many_async("t", range(200))
    error = caught.value
    assert error.published == len(sidecar.accepted) == 198
    assert [(one.index, one.topic, one.event.text_data) for one in error.failed] == [
        (7, "t", "7"),
        (123, "t", "123"),
    ]
    assert all(isinstance(one.error, errors.InternalError) for one in error.failed)
    assert isinstance(error, errors.InternalError)
    assert isinstance(error, grpc.RpcError)
    assert error.topic == "t"


async def test_failed_events_can_be_published_again_under_their_ids(sidecar, publisher):
    sidecar.refuse = lambda event: "not now" if event["data"] < 3 else None
    with pytest.raises(PublishFailedError) as caught:
        await publisher.publish_many_async("t", range(5))
    failed = caught.value.failed
    sidecar.refuse = lambda event: None
    await publisher.publish_many_async("t", [one.event for one in failed])
    assert sorted(sidecar.data) == list(range(5))
    assert {event["id"] for _, event in sidecar.accepted} >= {one.event.id for one in failed}


async def test_the_error_can_be_pickled(sidecar, publisher):
    sidecar.refuse = lambda event: "no"
    with pytest.raises(PublishFailedError) as caught:
        await publisher.publish_many_async("t", range(3))
    twin = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(twin, PublishFailedError)
    assert isinstance(twin, errors.InternalError)
    assert [one.event for one in twin.failed] == [one.event for one in caught.value.failed]


async def test_a_call_refused_as_a_whole_is_taken_apart(sidecar, publisher):
    # So does Dapr 1.18 when the broker refuses one of the events.
    sidecar.bulk_failure = (grpc.StatusCode.INTERNAL, "error when publishing to topic t")
    sidecar.refuse = lambda event: "poison" if event["data"] == 42 else None
    with pytest.raises(PublishFailedError) as caught:
        await publisher.publish_many_async("t", range(100))
    assert [one.index for one in caught.value.failed] == [42]
    assert caught.value.published == 99
    assert sorted(sidecar.data) == [number for number in range(100) if number != 42]


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidRequestError),
        (grpc.StatusCode.PERMISSION_DENIED, errors.PermissionDeniedError),
        (grpc.StatusCode.UNAUTHENTICATED, errors.UnauthenticatedError),
        (grpc.StatusCode.INTERNAL, errors.InternalError),
        (grpc.StatusCode.UNIMPLEMENTED, errors.UnsupportedError),
    ],
    ids=lambda value: value.name if isinstance(value, grpc.StatusCode) else "",
)
async def test_a_cause_common_to_all_is_the_class_of_the_error(sidecar, publisher, code, meaning):
    sidecar.failure = (code, "no such thing")
    with pytest.raises(meaning, match="no such thing") as caught:
        await publisher.publish_many_async("t", range(150))
    assert isinstance(caught.value, PublishFailedError)
    assert [one.index for one in caught.value.failed] == list(range(150))
    assert caught.value.code() is code


async def test_different_causes_are_of_no_class_but_the_common_one(sidecar, publisher):
    sidecar.refuse = lambda event: "no" if event["data"] == 0 else None
    with pytest.raises(PublishFailedError) as caught:
        await publisher.publish_many_async("t", [0, 1, "x" * 5_000_000])
    assert not isinstance(caught.value, (grpc.RpcError, errors.InternalError))
    assert [type(one.error).__name__ for one in caught.value.failed] == [
        "InternalError",
        "ResourceExhaustedError",
    ]


async def test_an_event_above_the_sidecars_limit_does_not_take_others_along(sidecar, publisher):
    with pytest.raises(errors.ResourceExhaustedError, match="max-body-size") as caught:
        await publisher.publish_many_async("t", [1, "x" * 5_000_000, 2])
    assert [one.index for one in caught.value.failed] == [1]
    assert sorted(sidecar.data) == [1, 2]


async def test_an_answer_that_names_unknown_entries_is_believed_for_none():
    async def answer(self, request, context):
        return api_v1.BulkPublishResponse(failedEntries=[{"entry_id": "other", "error": "bad"}])

    kind = type("Sidecar", (Sidecar,), {"BulkPublishEventAlpha1": answer})
    async with kind() as sidecar, DaprPublisher(address=sidecar.address) as publisher:
        with pytest.raises(PublishFailedError, match="bad") as caught:
            await publisher.publish_many_async("t", range(3))
    assert len(caught.value.failed) == 3


async def test_a_single_deadline_holds_for_all_calls(sidecar, publisher):
    sidecar.open.clear()
    with pytest.raises(TimeoutError) as caught:
        await publisher.publish_many_async("t", range(1000), timeout=0.3 * UNIT)
    assert isinstance(caught.value, PublishFailedError)
    assert isinstance(caught.value, errors.DeadlineExceededError)
    assert len(caught.value.failed) == 1000
    # Those that found nothing left of it were not sent.
    assert len(sidecar.bulks) < 10


async def test_a_surrounding_deadline_counts(sidecar, publisher):
    sidecar.open.clear()
    with deadline(0.3 * UNIT), pytest.raises(errors.DeadlineExceededError):
        await publisher.publish_many_async("t", range(1000))


async def test_no_gateway_is_unavailable():
    async with DaprPublisher(address="127.0.0.1:1") as publisher:
        with pytest.raises(errors.UnavailableError, match="Dapr sidecar") as caught:
            await publisher.publish_many_async("t", range(300), timeout=5 * UNIT)
    assert len(caught.value.failed) == 300


async def test_cancelling_cancels_the_calls(sidecar, publisher):
    sidecar.open.clear()
    task = asyncio.create_task(publisher.publish_many_async("t", range(300)))
    await until(lambda: len(sidecar.bulks) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: sidecar.at_once == 0)
    assert sidecar.cancelled.is_set()


async def test_closing_the_publisher_ends_it(sidecar, publisher):
    sidecar.open.clear()
    task = asyncio.create_task(publisher.publish_many_async("t", range(300)))
    await until(lambda: sidecar.bulks)
    await publisher.close()
    with pytest.raises(errors.ClientClosedError) as caught:
        await task
    assert isinstance(caught.value, PublishFailedError)
    with pytest.raises(errors.ClientClosedError):
        await publisher.publish_many_async("t", [1])


async def test_the_token_never_shows_in_a_failed_event(sidecar):
    sidecar.refuse = lambda event: "no s3cr3t"
    async with DaprPublisher(address=sidecar.address, api_token="s3cr3t") as publisher:
        with pytest.raises(PublishFailedError) as caught:
            await publisher.publish_many_async("t", [1, 2])
    assert "s3cr3t" not in f"{caught.value} {caught.value.failed!r} {caught.value.details()}"
    assert sidecar.metadata[0]["dapr-api-token"] == "s3cr3t"
