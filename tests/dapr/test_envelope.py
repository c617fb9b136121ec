"""CloudEvents in JSON, kind by kind (CloudEvents JSON format 1.0)."""

import datetime as dt
import json

import pytest

from virtufin.api.client import errors
from virtufin.api.client.events import to_cloudevent
from virtufin.api.dapr import _envelope
from virtufin.api.protos import state_pb2
from virtufin.api.protos.cloudevents_pb2 import CloudEvent


def parsed(event):
    return json.loads(_envelope.to_json(event))


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
    assert f'"data":{text}' in _envelope.to_json(event).decode()


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]"])
def test_text_that_is_not_the_json_it_claims_to_be_is_refused(text):
    with pytest.raises(errors.InvalidInputError, match="JSON"):
        _envelope.to_json(to_cloudevent(text, content_type="application/json"))


def test_a_media_type_that_ends_in_json_is_json():
    event = to_cloudevent("[1]", content_type="application/vnd.x+json; charset=utf-8")
    assert parsed(event)["data"] == [1]


def test_a_protobuf_payload_names_its_type():
    event = CloudEvent(id="1", source="s", type="t")
    event.proto_data.Pack(state_pb2.StateItem(key="k"))
    members = parsed(event)
    assert members["datacontenttype"] == "application/protobuf"
    assert members["dataschema"] == "type.googleapis.com/virtufin.StateItem"
    assert members["data_base64"] == "CgFr"
