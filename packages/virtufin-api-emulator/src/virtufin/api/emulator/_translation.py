"""Messages of one wire as those of another: fields go by name."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format


def translated(message: Any, kind: Any) -> Any:
    """The message as one of another class; what that lacks is left out."""
    if isinstance(message, kind):
        return message
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json_format.ParseDict(fields, kind(), ignore_unknown_fields=True)
