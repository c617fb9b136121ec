"""Events written as JSON from the publisher's values are those written from CloudEvent messages."""

import datetime as dt
import enum
import json

import pytest

from virtufin.api.client.errors import InvalidInputError

# Private, because a sidecar would change the events on their way.
from virtufin.api.dapr._sidecar import JsonTemplate, cloudevents_json

DATA = [
    "text",
    "",
    'quotes " and \\',
    "ü €",
    b"\x00\xff",
    b"bytes",
    {"a": [1, None]},
    None,
    1.5,
    [],
    True,
]
CONTENT_TYPES = [
    None,
    "",
    "text/plain",
    "application/xml",
    "application/json; charset=utf-8",
    "application/problem+json",
    "application/cloudevents+json",
    "image/png",
]
ATTRIBUTES = {
    "none": {},
    "texts": {"type": 'a "b"', "source": "urn:ü", "subject": "s/1", "metadata": {"ce-id": 'i"d'}},
    "typed": {
        "extensions": {
            "count": -3,
            "final": True,
            "raw": b"\xff",
            "until": dt.datetime(2026, 1, 31, 12, 0, 0, 1000, tzinfo=dt.timezone.utc),
        }
    },
    "request": {"correlation_id": "c", "reply_topic": "r"},
    "schema": {"metadata": {"ce-dataschema": "urn:s", "ce-time": "2026-01-31T12:00:00.5+01:00"}},
}


def outcome(write):
    """Returns the members that are written, or the text of the refusal."""
    try:
        return json.loads(write())
    except InvalidInputError as error:
        return str(error)


@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=ATTRIBUTES)
@pytest.mark.parametrize("content_type", CONTENT_TYPES, ids=str)
@pytest.mark.parametrize("data", DATA, ids=repr)
def test_both_ways_write_the_same(data, content_type, attributes):
    template = JsonTemplate(content_type=content_type, **attributes)
    parts = template.parts(data)
    written = outcome(lambda: template.write(parts))
    assert written == outcome(lambda: cloudevents_json.to_json(parts.to_message()))


@pytest.mark.parametrize("nanoseconds", [0, 1, 1_000, 1_000_000, 999_999_999, 1_500_000_000, -1])
def test_times_are_written_as_protobuf_writes_them(nanoseconds):
    template = JsonTemplate()
    parts = template.parts("x")._replace(time=nanoseconds)
    written = json.loads(template.write(parts))["time"]
    assert written == parts.to_message().attributes["time"].ce_timestamp.ToJsonString()


def test_text_that_is_no_unicode_is_refused():
    template = JsonTemplate()
    with pytest.raises(InvalidInputError, match="data is not valid Unicode text"):
        template.write(template.parts("\ud800"))


def test_an_event_does_not_change_with_the_data_it_was_made_from():
    data = {"a": 1}
    parts = JsonTemplate().parts(data)
    data["a"] = 2
    assert json.loads(parts.data) == {"a": 1}


def test_text_of_an_enum_is_its_value():
    class Body(str, enum.Enum):
        ONE = '{"b":1}'

    template = JsonTemplate(content_type="application/json")
    assert json.loads(template.write(template.parts(Body.ONE)))["data"] == {"b": 1}


def test_a_time_of_another_zone_is_written_as_utc():
    zone = dt.timezone(dt.timedelta(microseconds=500_000))
    moment = dt.datetime(2026, 1, 1, 0, 0, 0, 750_000, tzinfo=zone)
    template = JsonTemplate(extensions={"until": moment})
    parts = template.parts("x")
    expected = json.loads(cloudevents_json.to_json(parts.to_message()))["until"]
    assert json.loads(template.write(parts))["until"] == expected
