"""CloudEvents in JSON, the form in which a sidecar takes complete events."""

from __future__ import annotations

import base64
import json
from typing import Any

from virtufin.api.client.errors import InvalidInputError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

CONTENT_TYPE = "application/cloudevents+json"


def to_json(event: CloudEvent) -> bytes:
    """The event in the structured mode of the CloudEvents JSON format.

    JSON data goes in as it is, number for number; binary data as base64.

    Raises:
        InvalidInputError: The event says that its data is JSON, and it is not.
    """
    members: dict[str, Any] = {
        "specversion": event.spec_version or "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
    }
    for name, value in event.attributes.items():
        members[name] = _attribute(value)
    kind = event.WhichOneof("data")
    if kind == "binary_data":
        members["data_base64"] = base64.b64encode(event.binary_data).decode()
    elif kind == "proto_data":
        members.setdefault("datacontenttype", "application/protobuf")
        members.setdefault("dataschema", event.proto_data.type_url)
        members["data_base64"] = base64.b64encode(event.proto_data.value).decode()
    elif kind == "text_data" and not _is_json(members.get("datacontenttype")):
        members["data"] = event.text_data
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    if kind == "text_data" and "data" not in members:
        _check(event.text_data)
        # Spliced, not parsed and written again: that would change long numbers.
        text = f'{text[:-1]},"data":{event.text_data}}}'
    return text.encode()


def _attribute(value: CloudEvent.CloudEventAttributeValue) -> bool | int | str:
    kind = value.WhichOneof("attr")
    if kind == "ce_timestamp":
        return value.ce_timestamp.ToJsonString()
    if kind == "ce_bytes":
        return base64.b64encode(value.ce_bytes).decode()
    return "" if kind is None else getattr(value, kind)


def _is_json(content_type: object) -> bool:
    media_type = str(content_type).partition(";")[0].strip().lower()
    return media_type.endswith(("/json", "+json"))


def _check(text: str) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise InvalidInputError(f"the event's data is to be JSON and is not: {error}") from None
