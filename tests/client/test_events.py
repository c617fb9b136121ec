"""Events: made from data and attributes, and read back."""

import asyncio
import enum
import http
import pickle
from datetime import datetime, timedelta, timezone

import pytest

from virtufin.api.client import ApiClient, InvalidInputError, InvalidReplyError, PubsubEvent
from virtufin.api.client.events import DEFAULT_SOURCE, DEFAULT_TYPE, to_cloudevent
from virtufin.api.protos.cloudevents_pb2 import CloudEvent


def made(data="x", *args, **keywords):
    """The event a subscriber would see."""
    return PubsubEvent("t", to_cloudevent(data, *args, **keywords))


@pytest.mark.parametrize(
    ("data", "payload", "content_type", "kind"),
    [
        ("text ü", "text ü".encode(), "text/plain; charset=utf-8", "text_data"),
        ("", b"", "text/plain; charset=utf-8", "text_data"),
        (b"\x00\xff", b"\x00\xff", "application/octet-stream", "binary_data"),
        (bytearray(b"ab"), b"ab", "application/octet-stream", "binary_data"),
        (memoryview(b"ab"), b"ab", "application/octet-stream", "binary_data"),
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'.encode(), "application/json", "text_data"),
        ([1, 2], b"[1,2]", "application/json", "text_data"),
        (None, b"null", "application/json", "text_data"),
        (1.5, b"1.5", "application/json", "text_data"),
        (True, b"true", "application/json", "text_data"),
    ],
)
def test_the_datas_type_decides_how_it_travels(data, payload, content_type, kind):
    event = made(data)
    assert event.data == payload
    assert event.content_type == content_type
    assert event.cloudevent.WhichOneof("data") == kind


def test_an_event_gets_id_source_type_version_and_time():
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    event = made()
    assert len(event.message_id) == 36
    assert (event.source, event.type) == (DEFAULT_SOURCE, DEFAULT_TYPE)
    assert event.cloudevent.spec_version == "1.0"
    assert before < event.cloudevent.attributes["time"].ce_timestamp.ToDatetime(timezone.utc)
    assert event.service == "client"


def test_ids_are_unique():
    assert len({made().message_id for _ in range(100)}) == 100


def test_keywords_become_attributes():
    event = made(
        type="com.virtufin.x.y",
        source="urn:com.virtufin.workmanager",
        subject="worker/1",
        content_type="text/csv",
        correlation_id="c",
        reply_topic="r",
    )
    assert event.type == "com.virtufin.x.y"
    assert event.service == "workmanager"
    assert event.subject == "worker/1"
    assert event.content_type == "text/csv"
    assert (event.correlation_id, event.reply_topic) == ("c", "r")


def test_ce_keys_of_metadata_become_attributes_and_others_extensions():
    metadata = {
        "ce-id": "1",
        "ce-source": "urn:com.virtufin.a",
        "ce-type": "t",
        "ce-specversion": "1.0",
        "ce-time": "2026-01-31T12:00:00Z",
        "ce-datacontenttype": "text/csv",
        "ce-subject": "s/1",
        "ce-dataschema": "urn:schema",
        "runid": "7",
        "ce-scenarioid": "9",
    }
    event = made("x", metadata)
    assert event.message_id == "1"
    assert event.timestamp == "2026-01-31T12:00:00Z"
    assert event.extensions == {"runid": "7", "scenarioid": "9"}
    read_back = dict(metadata)
    read_back["scenarioid"] = read_back.pop("ce-scenarioid")
    assert event.metadata == read_back


def test_a_keyword_that_repeats_metadata_is_no_contradiction():
    assert (
        made("x", {"ce-type": "a", "runid": "1"}, type="a", extensions={"runid": "1"}).type == "a"
    )


def test_extensions_keep_their_types():
    at = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    extensions = {"flag": True, "n": -5, "text": "x", "blob": b"\x01", "at": at}
    event = made(extensions=extensions)
    assert event.extensions == extensions
    assert event.metadata["flag"] == "true"
    assert event.metadata["n"] == "-5"
    assert event.metadata["blob"] == "AQ=="
    assert event.metadata["at"] == "2026-01-31T12:00:00Z"


def test_a_time_in_another_zone_is_the_same_moment():
    zone = timezone(timedelta(hours=2))
    event = made(extensions={"at": datetime(2026, 1, 31, 14, tzinfo=zone)})
    assert event.metadata["at"] == "2026-01-31T12:00:00Z"


def test_a_ready_event_goes_out_untouched():
    ready = CloudEvent(id="1", source="s", type="t", spec_version="1.0", text_data="x")
    assert to_cloudevent(ready) is ready


def test_a_time_sent_as_text_is_read_as_such():
    event = made()
    event.cloudevent.attributes["time"].ce_string = "2026-01-31T12:00:00+02:00"
    assert event.timestamp == "2026-01-31T12:00:00+02:00"


def test_illegal_names_are_accepted_when_reading():
    event = made()
    event.cloudevent.attributes["Trace-Id"].ce_string = "x"
    assert event.extensions == {"Trace-Id": "x"}


@pytest.mark.parametrize(
    ("attribute", "value", "text"),
    [("ce_uri", "urn:x", "urn:x"), ("ce_uri_ref", "/x", "/x")],
)
def test_uris_are_text(attribute, value, text):
    event = made()
    setattr(event.cloudevent.attributes["ref"], attribute, value)
    assert event.extensions["ref"] == value
    assert event.metadata["ref"] == text


def test_an_attribute_without_a_value_is_left_out():
    event = made()
    event.cloudevent.attributes["empty"].SetInParent()
    assert event.extensions == {}
    assert event.metadata["empty"] == ""


def test_a_time_out_of_range_does_not_break_reading():
    event = made()
    event.cloudevent.attributes["time"].ce_timestamp.seconds = 10**15
    event.cloudevent.attributes["at"].ce_timestamp.seconds = 10**15
    assert event.timestamp
    assert event.extensions["at"]


def test_an_event_without_attributes_reads_as_empty():
    event = PubsubEvent("t", CloudEvent())
    assert (event.data, event.timestamp, event.subject, event.content_type) == (b"", "", "", "")
    assert (event.correlation_id, event.reply_topic, event.service) == ("", "", "")
    assert event.extensions == {}


def test_protobuf_data_is_its_bytes():
    event = PubsubEvent("t", CloudEvent())
    event.cloudevent.proto_data.value = b"\x08\x01"
    assert event.data == b"\x08\x01"


def test_a_source_of_others_names_no_service():
    assert made(source="/sensors/1").service == ""


def test_data_is_decoded_on_demand():
    assert made({"a": 1}).data_as_json() == {"a": 1}
    assert made(b"text").data_as_text() == "text"


def test_data_that_is_not_utf8_is_an_invalid_reply():
    with pytest.raises(InvalidReplyError, match="UTF-8") as caught:
        made(b"\xff").data_as_text()
    assert caught.value.topic == "t"
    with pytest.raises(InvalidReplyError):
        made(b"\xff").data_as_json()


def test_data_that_is_not_json_is_an_invalid_reply():
    with pytest.raises(InvalidReplyError, match="not JSON"):
        made("{").data_as_json()


def test_events_are_immutable_and_compare_by_content():
    event = made("x", {"ce-id": "1"})
    twin = PubsubEvent("t", CloudEvent.FromString(event.cloudevent.SerializeToString()))
    assert event == twin
    assert hash(event) == hash(twin)
    assert event != PubsubEvent("other", event.cloudevent)
    assert event != "event"
    with pytest.raises(AttributeError):
        event.topic = "u"


def test_events_survive_pickling():
    event = made({"a": 1}, {"runid": "1"})
    assert pickle.loads(pickle.dumps(event)) == event


def test_metadata_of_an_event_is_a_copy():
    event = made("x", {"runid": "1"})
    event.metadata["runid"] = "2"
    assert event.metadata["runid"] == "1"


def test_an_event_shows_its_topic_and_size():
    assert "topic='t'" in repr(made("abc"))
    assert "3 bytes" in repr(made("abc"))


def test_a_number_of_an_enum_is_an_integer():
    event = to_cloudevent("x", extensions={"status": http.HTTPStatus.OK})
    assert event.attributes["status"].ce_integer == 200


def test_a_number_of_more_than_32_bits_is_refused():
    with pytest.raises(InvalidInputError, match="32 bits"):
        to_cloudevent("x", extensions={"status": 2**31})


def test_an_empty_content_type_stays_empty():
    assert to_cloudevent({}, content_type="").attributes["datacontenttype"].ce_string == ""


def test_the_text_of_an_enum_is_its_value():
    class Word(str, enum.Enum):
        YES = "y"

    assert to_cloudevent(Word.YES).text_data == "y"


def test_arguments_that_cannot_be_compared_are_refused_as_any_others():
    class Stubborn(dict):
        __hash__ = None

        def __eq__(self, _):
            raise ValueError("ambiguous")

    client = ApiClient()
    with pytest.raises(InvalidInputError, match="metadata"):
        asyncio.run(client.pubsub.publish_async("t", "x", Stubborn({"Bad Name": "x"})))
