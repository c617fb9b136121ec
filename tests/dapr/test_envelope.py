"""CloudEvents in JSON, kind by kind (CloudEvents JSON format 1.0)."""

import base64
import datetime as dt
import json

import pytest
from dapr.proto import appcallback_v1

from virtufin.api.client import errors
from virtufin.api.client.events import to_cloudevent

# Private, because a sidecar would change the events on their way.
from virtufin.api.dapr._sidecar import cloudevents_json
from virtufin.api.protos import state_pb2
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

SCHEMA = {"ce-dataschema": "type.googleapis.com/acme.Order"}


def parsed(event):
    return json.loads(cloudevents_json.to_json(event))


def message_event():
    event = to_cloudevent("", content_type="application/protobuf", metadata=SCHEMA)
    event.proto_data.type_url = SCHEMA["ce-dataschema"]
    event.proto_data.value = b"\x08\x01"
    return event


def handed_on(members, *, bulk=False):
    """The data that daprd 1.18 takes out of an event (`GRPCEnvelopeFromSubscriptionMessage`)."""
    media_type = members.get("datacontenttype", "").lower().partition(";")[0]
    data, encoded = members.get("data"), members.get("data_base64")
    if encoded is not None and not bulk:
        return base64.b64decode(encoded)
    if data is None:
        return b""
    if media_type.startswith("text/") or media_type == "application/xml":
        return data.encode()
    if media_type in ("application/json", "application/cloudevents+json"):
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return b""


def as_delivered(event, **more):
    """Returns an event as daprd delivers it, with its additions."""
    members = parsed(event)
    data = handed_on(members)
    members.pop("data", None), members.pop("data_base64", None)
    request = appcallback_v1.TopicEventRequest(
        id=members.pop("id"),
        source=members.pop("source"),
        type=members.pop("type"),
        spec_version=members.pop("specversion"),
        data_content_type=members.pop("datacontenttype", ""),
        data=data,
        topic="prices",
        pubsub_name="pubsub",
        path="/",
    )
    added = {"topic": "prices", "pubsubname": "pubsub", "traceid": "00-1-2-01"}
    request.extensions.update({**members, **added, "traceparent": "", "tracestate": "", **more})
    return request


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("text", {"data": "text"}),
        ("", {"data": ""}),
        (b"\x00\xff", {"data_base64": "AP8="}),
        ({"a": [1, 2.5, None, "ü"]}, {"data": {"a": [1, 2.5, None, "ü"]}}),
        (None, {"data": None}),
    ],
    ids=str,
)
def test_data(data, expected):
    members = parsed(to_cloudevent(data))
    assert {name: members[name] for name in members.keys() & {"data", "data_base64"}} == expected


def test_an_event_without_data_has_no_data_member():
    assert "data" not in parsed(CloudEvent(id="1", source="s", type="t"))


def test_text_without_a_media_type_is_text():
    assert parsed(CloudEvent(id="1", source="s", type="t", text_data="hello"))["data"] == "hello"


def test_every_kind_of_attribute():
    event = CloudEvent(id="1", source="s", type="t", spec_version="1.0")
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    event.attributes["time"].ce_timestamp.FromDatetime(moment)
    event.attributes["flag"].ce_boolean = False
    event.attributes["count"].ce_integer = -7
    event.attributes["text"].ce_string = "x"
    event.attributes["raw"].ce_bytes = b"\x00\xff"
    event.attributes["uri"].ce_uri = "https://example.com/a"
    event.attributes["uriref"].ce_uri_ref = "/a"
    event.attributes["empty"].SetInParent()
    assert parsed(event) == {
        "specversion": "1.0",
        "id": "1",
        "source": "s",
        "type": "t",
        "time": "2026-01-02T03:04:05Z",
        "flag": False,
        "count": -7,
        "text": "x",
        "raw": "AP8=",
        "uri": "https://example.com/a",
        "uriref": "/a",
        "empty": "",
    }


def test_long_numbers_keep_every_digit():
    text = '{"price":1234567890123456789.123456789012345678901234567890}'
    event = to_cloudevent(text, content_type="application/json")
    assert f'"data":{text}' in cloudevents_json.to_json(event).decode()


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]"])
def test_text_that_is_not_the_json_it_claims_to_be_is_refused(text):
    with pytest.raises(errors.InvalidInputError, match="JSON"):
        cloudevents_json.to_json(to_cloudevent(text, content_type="application/json"))


def test_json_text_that_is_nested_too_deeply_is_refused():
    event = to_cloudevent("[" * 100_000 + "]" * 100_000, content_type="application/json")
    with pytest.raises(errors.InvalidInputError, match="too deeply"):
        cloudevents_json.to_json(event)


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion", "data", "data_base64"])
def test_an_attribute_with_the_name_of_another_member_is_refused(name):
    event = to_cloudevent({"a": 1})
    event.attributes[name].ce_string = "other"
    with pytest.raises(errors.InvalidInputError, match=f"'{name}'"):
        cloudevents_json.to_json(event)


@pytest.mark.parametrize("fields", [{"seconds": 10**15}, {"nanos": -5}], ids=str)
def test_a_point_in_time_that_is_none_is_refused(fields):
    event = to_cloudevent("x")
    event.attributes["time"].ce_timestamp.CopyFrom(
        type(event.attributes["time"].ce_timestamp)(**fields)
    )
    with pytest.raises(errors.InvalidInputError, match="'time' cannot be sent"):
        cloudevents_json.to_json(event)


def test_a_media_type_that_ends_in_json_is_json():
    event = to_cloudevent("[1]", content_type="application/vnd.x+json; charset=utf-8")
    assert cloudevents_json.from_topic_event(as_delivered(event)).data_as_json() == [1]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "APPLICATION/JSON; charset=utf-8",
        "application/cloudevents+json",
        "application/problem+json",
        "application/x-ndjson",
        "application/xml",
        "application/problem+xml",
        "application/yaml",
        "image/svg+xml",
        "text/csv",
        "x",
        "",
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize("data", ['{"a":1}', b'{"a":1}', b"\xff\x00"], ids=str)
def test_no_data_is_lost_whatever_its_media_type(content_type, data):
    event = to_cloudevent(data)
    if content_type is None:
        del event.attributes["datacontenttype"]
    else:
        event.attributes["datacontenttype"].ce_string = content_type
    delivered = cloudevents_json.from_topic_event(as_delivered(event))
    assert delivered.data == (data.encode() if isinstance(data, str) else data)
    assert delivered.content_type


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("application/json", '{"a":1}'),
        ("text/csv", '{"a":1}'),
        ("text/csv", b'{"a":1}'),
        ("application/xml", b'{"a":1}'),
    ],
    ids=str,
)
def test_text_is_not_lost_in_bulk_deliveries(content_type, data):
    members = parsed(to_cloudevent(data, content_type=content_type))
    assert handed_on(members, bulk=True) == b'{"a":1}'


def test_a_protobuf_payload_names_its_type():
    event = CloudEvent(id="1", source="s", type="t")
    event.proto_data.Pack(state_pb2.StateItem(key="k"))
    members = parsed(event)
    assert members["datacontenttype"] == "application/protobuf"
    assert members["dataschema"] == "type.googleapis.com/virtufin.StateItem"
    assert members["data_base64"] == "CgFr"


ROUND_TRIPS = {
    "text": to_cloudevent("text", subject="worker/1", correlation_id="c", reply_topic="r"),
    "no text": to_cloudevent(""),
    "bytes": to_cloudevent(b"\x00\xff"),
    "json": to_cloudevent({"a": [1, 2.5, None, "ü"]}),
    "null": to_cloudevent(None),
    "json in bytes": to_cloudevent(b'{"a": 1}', content_type="application/json"),
    "typed extensions": to_cloudevent("x", extensions={"runid": -7, "live": True, "name": "n"}),
    "message": message_event(),
    "nothing": CloudEvent(id="1", source="s", type="t", spec_version="1.0"),
}


@pytest.mark.parametrize("event", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_an_event_in_json_reads_back_as_it_was(event):
    assert cloudevents_json.from_json(cloudevents_json.to_json(event)) == event


@pytest.mark.parametrize("event", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_an_event_from_the_sidecar_is_as_it_was_published(event):
    received = cloudevents_json.from_topic_event(as_delivered(event))
    assert received.topic == "prices"
    if event.WhichOneof("data") == "binary_data" and b"{" in event.binary_data:
        # Dapr's message does not distinguish text and bytes; the media type does.
        assert received.data == event.binary_data
    else:
        assert received.cloudevent == event


def test_attributes_that_the_sidecar_adds_are_left_out():
    event = cloudevents_json.from_topic_event(as_delivered(to_cloudevent("x")))
    assert event.extensions == {}
    traced = as_delivered(to_cloudevent("x"), traceparent="00-1-2-01")
    assert cloudevents_json.from_topic_event(traced).extensions == {"traceparent": "00-1-2-01"}


def test_attributes_that_fit_no_type_are_text():
    request = as_delivered(to_cloudevent("x"))
    request.extensions.update({"ratio": 2.5, "big": 2**40, "list": [1], "none": None})
    request.extensions.update({"time": "yesterday"})
    event = cloudevents_json.from_topic_event(request)
    assert event.timestamp == "yesterday"
    assert event.extensions == {"ratio": "2.5", "big": "1099511627776", "list": "[1.0]"}


@pytest.mark.parametrize(("time", "text"), [(5, "5"), (True, "true"), ({"a": "b"}, '{"a": "b"}')])
def test_a_time_that_is_no_text_does_not_cost_the_event(time, text):
    request = as_delivered(to_cloudevent("x"))
    request.extensions.update({"time": time})
    event = cloudevents_json.from_topic_event(request)
    assert (event.timestamp, event.data_as_text()) == (text, "x")


def test_text_that_is_no_unicode_is_bytes():
    request = as_delivered(to_cloudevent("x"))
    request.data = b"\xff"
    assert cloudevents_json.from_topic_event(request).cloudevent.binary_data == b"\xff"


def test_json_data_without_a_media_type_is_json():
    event = cloudevents_json.from_json(b'{"id": "1", "source": "s", "type": "t", "data": {"a": 1}}')
    assert event.text_data == '{"a":1}'
    assert event.attributes["datacontenttype"].ce_string == "application/json"


@pytest.mark.parametrize("text", [b"", b"[]", b'{"id": 1}', b'{"data_base64": "!"}', b"\xff"])
def test_text_that_is_no_event_in_json_is_an_error_that_says_so(text):
    with pytest.raises(errors.InvalidReplyError, match="CloudEvents JSON"):
        cloudevents_json.from_json(text)
