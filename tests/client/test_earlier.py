"""Events in the layout of earlier gateways, and back."""

import pytest

# Private, because the emulator of an earlier gateway would hide what the client sends it.
from virtufin.api.client._wire.earlier_events import from_earlier, to_earlier
from virtufin.api.client.events import to_cloudevent
from virtufin.api.protos.cloudevents_pb2 import CloudEvent


@pytest.mark.parametrize(
    "data",
    ["text", "", {"a": 1}, b"\x00\xff", b"plain"],
    ids=["text", "empty", "json", "bytes", "b"],
)
def test_an_event_comes_back_as_it_was(data):
    event = to_cloudevent(
        data,
        {"ce-subject": "worker/1", "ce-time": "2026-01-31T12:00:00.000000123Z"},
        correlation_id="c",
        reply_topic="r",
    )
    assert from_earlier(*to_earlier(event)) == event


def test_typed_extensions_become_text():
    event = to_cloudevent("", extensions={"count": 3, "final": True, "raw": b"\x00"})
    back = from_earlier(*to_earlier(event)).attributes
    assert {name: back[name].ce_string for name in ("count", "final", "raw")} == {
        "count": "3",
        "final": "true",
        "raw": "AA==",
    }


def test_of_an_any_the_value_is_left():
    event = CloudEvent(id="1")
    event.proto_data.type_url = "type.googleapis.com/a.B"
    event.proto_data.value = b"\x08\x01"
    assert from_earlier(*to_earlier(event)).text_data == "\x08\x01"


def test_empty_attributes_are_not_sent():
    assert to_earlier(CloudEvent(id="1")) == (b"", {"ce-id": "1"})


def test_bytes_of_a_textual_type_that_are_no_text_stay_bytes():
    assert from_earlier(b"\xff", {"ce-datacontenttype": "text/plain"}).binary_data == b"\xff"


@pytest.mark.parametrize("media", ["text/csv", "Application/JSON; a=b", "application/a+json", ""])
def test_textual_types_are_text(media):
    assert from_earlier(b"x", {"ce-datacontenttype": media}).text_data == "x"


@pytest.mark.parametrize("media", ["application/octet-stream", "image/png"])
def test_other_types_are_bytes(media):
    assert from_earlier(b"x", {"ce-datacontenttype": media}).binary_data == b"x"


def test_text_of_the_gateway_is_text_whatever_the_type():
    assert from_earlier("x", {"ce-datacontenttype": "image/png"}).text_data == "x"


def test_a_time_that_is_none_stays_text():
    assert from_earlier("", {"ce-time": "soon"}).attributes["time"].ce_string == "soon"


def test_names_that_were_not_checked_are_kept():
    attributes = from_earlier("", {"ce-Odd Key": "1", "id": "2"}).attributes
    assert attributes["Odd Key"].ce_string == "1"
    assert attributes["id"].ce_string == "2"
