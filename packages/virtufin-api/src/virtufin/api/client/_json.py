"""The payload of an event: text, bytes, or JSON."""

from __future__ import annotations

import json
from typing import Any

from virtufin.api.client._validation import require_text
from virtufin.api.client.errors import InvalidInputError, InvalidReplyError

TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"
JSON = "application/json"


def media_type(content_type: str) -> str:
    """Returns a content type in lower case, without parameters such as the charset."""
    return content_type.partition(";")[0].strip().lower()


def set_data(event: Any, data: object) -> str:
    """Stores the payload in a CloudEvent; returns its media type.

    Raises:
        InvalidInputError: JSON cannot hold the data.
    """
    if isinstance(data, str):
        event.text_data = require_text(data, "data")
        return TEXT
    if isinstance(data, (bytes, bytearray, memoryview)):
        event.binary_data = bytes(data)
        return BINARY
    event.text_data = to_json(data, "data")
    return JSON


def to_json(value: object, what: str) -> str:
    """JSON text of a value (RFC 8259): no NaN, no infinity, text keys only.

    Raises:
        InvalidInputError: JSON cannot hold it; says where.
    """
    try:
        _check(value, what)
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{what} cannot be sent as JSON: {error}") from None
    except RecursionError:
        raise InvalidInputError(
            f"{what} cannot be sent as JSON: it is nested too deeply, or contains itself"
        ) from None
    return require_text(text, what)


def from_json(text: str, what: str, **context: Any) -> Any:
    """The value of a JSON text that came from elsewhere.

    Raises:
        InvalidReplyError: It is not JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidReplyError(f"{what} is not JSON: {error}", **context) from None
    except RecursionError:
        raise InvalidReplyError(
            f"{what} cannot be read: it is nested too deeply", **context
        ) from None


def _check(value: object, where: str) -> None:
    """Refuses keys that json.dumps would quietly turn into text."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidInputError(
                    f"{where} cannot be sent as JSON: keys are text, "
                    f"not {type(key).__name__} ({key!r})"
                )
            if isinstance(item, (dict, list, tuple)):
                _check(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list, tuple)):
                _check(item, f"{where}[{index}]")
