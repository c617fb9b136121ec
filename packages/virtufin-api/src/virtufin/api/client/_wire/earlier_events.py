"""Events in the layout of earlier gateways: payload bytes, and all attributes as text.

The payload is in `data`. Attributes are in a string map `metadata`: `ce-*` keys for attributes that
CloudEvents defines, bare names for extensions. This layout loses:

- the types of extensions, which become text;
- the type of a protobuf Any, of which only the value is sent;
- the difference between a text and a bytes payload, which the media type decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from virtufin.api.client._json import media_type
from virtufin.api.client.events import PubsubEvent
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

# Listed, because these media types hold text although they do not begin with `text/`.
_TEXTUAL = ("application/json", "application/xml", "application/yaml", "application/javascript")
_PREFIX = "ce-"
_FIELDS = {"id": "id", "source": "source", "type": "type", "specversion": "spec_version"}


def to_earlier(event: CloudEvent) -> tuple[bytes, dict[str, str]]:
    """Returns `data` and `metadata` for an event, without empty attributes."""
    view = PubsubEvent("", event)
    return view.data, {key: text for key, text in view.metadata.items() if text}


def from_earlier(data: bytes | str, metadata: Mapping[str, str]) -> CloudEvent:
    """Returns the event for `data` and `metadata` of the earlier layout.

    Text becomes text data. Bytes become text data if they are UTF-8 and their media type is textual
    or not given. A time that is not RFC 3339 stays text.
    """
    event = CloudEvent()
    # Keys are not checked, because illegal attribute names are accepted when reading.
    for key, text in metadata.items():
        name = key[len(_PREFIX) :] if key.startswith(_PREFIX) else key
        if name in _FIELDS and name != key:
            setattr(event, _FIELDS[name], text)
        elif name == "time" and name != key:
            _set_time(event, text)
        else:
            event.attributes[name].ce_string = text
    if isinstance(data, str):
        event.text_data = data
    elif _is_textual(metadata.get("ce-datacontenttype", "")):
        _set_text(event, data)
    else:
        event.binary_data = data
    return event


def _set_time(event: CloudEvent, text: str) -> None:
    attribute = event.attributes["time"]
    try:
        attribute.ce_timestamp.FromJsonString(text)
    except ValueError:
        # Kept as text, because nothing checks the time between publisher and subscriber.
        attribute.ce_string = text


def _set_text(event: CloudEvent, data: bytes) -> None:
    try:
        event.text_data = data.decode()
    except UnicodeDecodeError:
        event.binary_data = data


def _is_textual(content_type: str) -> bool:
    media = media_type(content_type)
    return (
        not media
        or media.startswith("text/")
        or media in _TEXTUAL
        or media.endswith(("+json", "+xml", "+yaml"))
    )
