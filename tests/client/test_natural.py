"""Requests may hold natural Python values."""

import dataclasses
import enum
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.timestamp_pb2 import Timestamp

from tests.backend import PROBE, make_probe
from tests.client.rewriting import Rewriting
from tests.layouts import make_emulator
from virtufin.api.client import InvalidInputError
from virtufin.api.emulator import Service
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

MASKED = PROBE.replace(
    'field { name: "some_text" number: 1',
    'field { name: "mask" number: 20 type: TYPE_MESSAGE label: LABEL_OPTIONAL '
    'type_name: ".google.protobuf.FieldMask" }\n  field { name: "some_text" number: 1',
).replace('syntax: "proto3"', 'syntax: "proto3" dependency: "google/protobuf/field_mask.proto"')

__all__ = ["make_probe"]


class Color(enum.Enum):
    COLOR_RED = "red"
    COLOR_BLUE = 7


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Order:
    some_text: str
    big_number: int = 5
    maybe: "str | None" = None


NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
UNTYPED = {
    "bytes": (b"\x00\xff", "AP8="),
    "a bytearray": (bytearray(b"a"), "YQ=="),
    "a moment": (NOON, "2026-01-31T12:00:00Z"),
    "a moment elsewhere": (
        datetime(2026, 1, 31, 14, 0, 0, 5, tzinfo=timezone(timedelta(hours=2))),
        "2026-01-31T12:00:00.000005Z",
    ),
    "a date": (date(2026, 1, 31), "2026-01-31"),
    "a time span": (timedelta(seconds=1.5), "1.500000s"),
    "a negative one": (timedelta(seconds=-90), "-90s"),
    "an enum of text": (Color.COLOR_RED, "red"),
    "an enum of numbers": (Level.HIGH, 3),
    "a uuid": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "a decimal": (Decimal("1.10"), "1.10"),
    "a number": (5, 5),
    "a number beyond doubles": (2**53 + 1, "9007199254740993"),
    "no number": (float("nan"), "NaN"),
    "minus infinity": (float("-inf"), "-Infinity"),
    "nothing": (None, None),
    "a tuple": ((1, b"a"), [1, "YQ=="]),
    "a set": ({1}, [1]),
    "numbered keys": ({2: "a", True: "b"}, {"2": "a", "true": "b"}),
    "a dataclass": (Order("a"), {"some_text": "a", "big_number": 5, "maybe": None}),
    "a message": (CloudEvent(id="1", spec_version="2"), {"id": "1", "spec_version": "2"}),
}


@pytest.fixture
async def sent(connect, take_port, make_probe):
    """Returns the JSON that a request becomes: `await sent(request)`.

    With `known=False` the client does not know the method's fields.
    """
    backend = await make_probe(MASKED)
    services = [Service("probe", backend.address)]
    async with make_emulator(port=take_port(), services=services, wire="current") as gateway:

        async def invoke(request, *, known=True):
            rewriting = Rewriting()
            rewriting.reply = {}
            client = connect(gateway, interceptors=[rewriting], complete_replies=known)
            await client.invoke_async("probe", "Echo", request)
            return rewriting.request

        yield invoke


@pytest.mark.parametrize("case", UNTYPED)
async def test_values_are_sent_by_rule_if_the_method_is_not_known(sent, case):
    value, written = UNTYPED[case]
    assert await sent({"field": value}, known=False) == {"field": written}


TYPED = {
    "lowerCamelCase": ({"someText": "a"}, {"some_text": "a"}),
    "bytes for bytes": ({"raw_bytes": b"a"}, {"raw_bytes": "YQ=="}),
    "bytes for text": ({"some_text": b"a"}, {"some_text": "a"}),
    "an enum by its name": ({"color": Color.COLOR_RED}, {"color": "COLOR_RED"}),
    "an enum without the name": ({"color": Color.COLOR_BLUE}, {"color": 7}),
    "a moment": ({"at": NOON}, {"at": "2026-01-31T12:00:00Z"}),
    "a time span": ({"took": timedelta(seconds=2)}, {"took": "2s"}),
    "map keys": ({"countsByName": {"aB": 1, 2: 3}}, {"counts_by_name": {"aB": 1, "2": 3}}),
    "children": ({"children": ({"rawBytes": b"a"},)}, {"children": [{"raw_bytes": "YQ=="}]}),
    "a dataclass inside": (
        {"children": [Order("a")]},
        {"children": [{"some_text": "a", "big_number": 5, "maybe": None}]},
    ),
    "what is not there": ({"other": b"a"}, {"other": "YQ=="}),
    "one field twice": ({"someText": 1, "some_text": 2}, {"someText": 1, "some_text": 2}),
    "what does not fit": (
        {"children": 5, "counts_by_name": [1]},
        {"children": 5, "counts_by_name": [1]},
    ),
    "paths": ({"mask": ["foo_bar", "a"]}, {"mask": "fooBar,a"}),
    "a special message for an Any": (
        {"anything": Timestamp(seconds=1)},
        {
            "anything": {
                "@type": "type.googleapis.com/google.protobuf.Timestamp",
                "value": "1970-01-01T00:00:01Z",
            }
        },
    ),
    "a message for an Any": (
        {"anything": CloudEvent(id="1")},
        {"anything": {"@type": "type.googleapis.com/io.cloudevents.v1.CloudEvent", "id": "1"}},
    ),
}


@pytest.mark.parametrize("case", TYPED)
async def test_values_are_sent_as_their_field_wants_them(sent, case):
    request, written = TYPED[case]
    assert await sent(request) == written


async def test_a_dataclass_may_be_the_request(sent):
    assert (await sent(Order("a")))["some_text"] == "a"


@pytest.mark.parametrize("known", [True, False])
async def test_no_request_is_an_empty_one(sent, known):
    assert await sent(None, known=known) == {}


@pytest.mark.parametrize(
    ("request_data", "said"),
    [
        ({"a": object()}, r"request\['a'\] is <object"),
        ({"a": NOON.replace(tzinfo=None)}, "time zone"),
        ({"a": {(1,): 2}}, "keys"),
        ({"some_text": b"\xff"}, "not UTF-8"),
        ({"a": {1: "a", "1": "b"}}, "two keys"),
        ({"counts_by_name": {1: 1, "1": 2}}, "two keys"),
        ({"a": 10**5000}, "sent as JSON"),
        ({"a": datetime.min.replace(tzinfo=timezone(timedelta(hours=2)))}, "sent as JSON"),
        ({"mask": ["line_1"]}, "no form in JSON"),
        ({"a": Any(type_url="t/no.Such", value=b"")}, "sent as JSON"),
        ({"mask": ["a__b"]}, "no form in JSON"),
        ("text", "must be a dict"),
        (Order, "must be a dict"),
    ],
)
async def test_a_value_without_a_rule_is_refused(sent, request_data, said):
    with pytest.raises(InvalidInputError, match=said):
        await sent(request_data)


async def test_a_request_that_contains_itself_is_refused(sent):
    request = {}
    request["a"] = request
    with pytest.raises(InvalidInputError, match="contains itself"):
        await sent(request)
