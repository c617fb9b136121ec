"""JSON texts, written and read by the rules of RFC 8259, and the media types of payloads."""

from __future__ import annotations

import json
from typing import Any

from virtufin.api.client._validation import require_text
from virtufin.api.client.errors import InvalidInputError, InvalidReplyError

TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"
JSON = "application/json"

# One encoder for all texts, because `json.dumps` makes one for each. `allow_nan` is off, because
# NaN is not JSON and other readers would reject the text.
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


def media_type(content_type: str) -> str:
    """Returns a content type in lower case, without parameters such as the charset."""
    return content_type.partition(";")[0].strip().lower()


def to_json(value: object, what: str) -> str:
    """Returns the JSON text of a value (RFC 8259): no NaN, no infinity, text keys only.

    Args:
        value: The value.
        what: Name of the value, for the error message.

    Raises:
        InvalidInputError: JSON cannot hold the value; the error names the position.
    """
    try:
        _check(value, what)
        text = _encode(value)
    except (TypeError, ValueError) as error:
        # Raised unchanged, because `InvalidInputError` is a `ValueError` that names the position.
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{what} cannot be sent as JSON: {error}") from None
    except RecursionError:
        raise InvalidInputError(
            f"{what} cannot be sent as JSON: it is nested too deeply, or contains itself"
        ) from None
    # Only other texts are checked, because ASCII is valid Unicode in any case.
    return text if text.isascii() else require_text(text, what)


def from_json(text: str, what: str, **context: Any) -> Any:
    """Returns the value of a received JSON text.

    Args:
        text: The JSON text.
        what: Name of the text, for the error message.
        **context: Attributes to set on a raised error: service, method, topic, peer.

    Raises:
        InvalidReplyError: The text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidReplyError(f"{what} is not JSON: {error}", **context) from None
    # Not a RecursionError, because the reason is the received text and not the caller's code.
    except RecursionError:
        raise InvalidReplyError(
            f"{what} cannot be read: it is nested too deeply", **context
        ) from None


def _check(value: object, where: str) -> None:
    """Checks that all keys of a dict, and of the dicts inside a value, are text.

    Args:
        value: The value to check.
        where: Position of the value, for the error message.

    Raises:
        InvalidInputError: A key is not text; the error names the position.
    """
    # Checked here, because `json.dumps` would silently convert such keys to text.
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
