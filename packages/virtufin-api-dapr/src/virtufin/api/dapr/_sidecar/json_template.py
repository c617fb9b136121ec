"""Events written as JSON for a sidecar, straight from the values of the publisher."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from virtufin.api.client._event_attributes import ExtensionValue, set_time
from virtufin.api.client._event_template import SPEC_VERSION, EventParts, EventTemplate
from virtufin.api.client._json import BINARY, TEXT, to_json
from virtufin.api.client._validation import require_text
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

from .cloudevents_json import Form, form_of, is_json, require_json

_NANOSECONDS = 10**9


class JsonTemplate(EventTemplate):
    """A template whose events are written as JSON. See `cloudevents_json.to_json` for the form.

    What all events have in common is written once.
    """

    __slots__ = ("_id", "_middle", "_second", "_tails")

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        """Checks the attributes. Arguments and errors are those of `EventTemplate`."""
        super().__init__(*arguments, **attributes)
        self._id = None if self.id is None else _quoted(self.id)
        members = [("source", self.source), ("type", self.type), *self.attributes]
        written = "".join(f",{_quoted(name)}:{_write_value(value)}" for name, value in members)
        self._middle = f'{written},"time":"'
        self._tails: dict[tuple[str, bool], _Tail] = {}
        self._second: tuple[int | None, str] = (None, "")

    def write(self, parts: EventParts) -> bytes:
        """Returns an event as UTF-8 text in the structured mode of the CloudEvents JSON format.

        Args:
            parts: The event, made by this template.

        Raises:
            InvalidInputError: The data has a JSON media type but is not JSON, or is not valid
                Unicode text.
        """
        data = parts.data
        is_text = isinstance(data, str)
        # An empty media type is like none, and a sidecar needs one.
        kind = (parts.content_type or (TEXT if is_text else BINARY), is_text)
        tail = self._tails.get(kind)
        if tail is None:
            tail = self._tails[kind] = _make_tail(*kind)
        start = f'{{"specversion":"{SPEC_VERSION}","id":'
        identifier = f'"{parts.id}"' if self._id is None else self._id
        head = f"{start}{identifier}{self._middle}{self._time_text(parts.time)}{tail.text}"
        # Text of the publisher only, because a value that was written as JSON is JSON.
        if tail.is_json and not parts.is_json:
            require_json(data)  # type: ignore[arg-type]
        try:
            if tail.form is Form.JSON:
                return f'{head}"data":{data}}}'.encode()  # type: ignore[str-bytes-safe]
            return f"{head}{_write_data(data, tail.form)}}}".encode()
        except UnicodeEncodeError:
            require_text(data, "data")
            raise

    def _time_text(self, moment: int) -> str:
        """Returns a time as RFC 3339 text, to the end of the JSON text."""
        second, fraction = divmod(moment, _NANOSECONDS)
        known = self._second
        # Kept, because many events are published in one second.
        if known[0] != second:
            known = self._second = (second, Timestamp(seconds=second).ToJsonString()[:-1])
        return f'{known[1]}{_fraction_text(fraction)}Z"'


class _Tail(NamedTuple):
    """The JSON text between the time of an event and its data, and the form of the data."""

    text: str
    form: Form
    is_json: bool
    """True if text of this media type must be JSON."""


def _make_tail(content_type: str, is_text: bool) -> _Tail:
    form = form_of(content_type, is_text=is_text)
    return _Tail(
        f',"datacontenttype":{_quoted(content_type)},', form, is_text and is_json(content_type)
    )


def _write_data(data: str | bytes, form: Form) -> str:
    if form is Form.TEXT:
        try:
            return f'"data":{to_json(data if isinstance(data, str) else data.decode(), "data")}'
        except UnicodeDecodeError:
            pass  # because bytes of a textual media type may be in another encoding
    raw = data.encode() if isinstance(data, str) else data
    return f'"data_base64":"{base64.b64encode(raw).decode()}"'


def _write_value(value: ExtensionValue) -> str:
    if isinstance(value, datetime):
        attribute = CloudEvent.CloudEventAttributeValue()
        set_time(attribute, value)
        value = attribute.ce_timestamp.ToJsonString()
    elif isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    return to_json(value, "an attribute")


def _quoted(text: str) -> str:
    return to_json(text, "text")


def _fraction_text(nanoseconds: int) -> str:
    """Returns a fraction of a second with 3, 6 or 9 digits, as the proto3 JSON mapping has it."""
    if not nanoseconds:
        return ""
    if nanoseconds % 1_000_000 == 0:
        return f".{nanoseconds // 1_000_000:03d}"
    if nanoseconds % 1_000 == 0:
        return f".{nanoseconds // 1_000:06d}"
    return f".{nanoseconds:09d}"
