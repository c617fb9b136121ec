"""What handlers of methods and bindings get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from virtufin.api.client._data import from_json
from virtufin.api.client.errors import InvalidReplyError, InvalidRequestError


@dataclass(frozen=True)
class _Request:
    data: bytes
    """The payload."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Text that came beside the payload; keys in lower case for a method."""

    def data_as_text(self) -> str:
        """The payload decoded as UTF-8.

        Raises:
            InvalidRequestError: It is not UTF-8.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequestError(f"the data is not UTF-8: {error}") from None

    def data_as_json(self) -> Any:
        """The payload decoded as JSON.

        Raises:
            InvalidRequestError: It is not JSON.
        """
        try:
            return from_json(self.data_as_text(), "the data")
        except InvalidReplyError as error:
            raise InvalidRequestError(error.message) from None


@dataclass(frozen=True)
class InvocationRequest(_Request):
    """A call of one of the app's methods through its sidecar.

    Example:
        >>> from virtufin.api.dapr import InvocationRequest
        >>> InvocationRequest(b'{"id": 7}', method="cancel").data_as_json()
        {'id': 7}
    """

    method: str = ""
    """The name that was called."""
    content_type: str = ""
    """Media type of the payload; empty where the caller gave none."""
    verb: str = ""
    """HTTP verb of the caller, such as `POST`; empty where none came along."""
    query: str = ""
    """Query string of the caller without the question mark; empty where none came along."""


@dataclass(frozen=True)
class BindingRequest(_Request):
    """What an input binding brought.

    Example:
        >>> from virtufin.api.dapr import BindingRequest
        >>> BindingRequest(b"tick", name="clock").data_as_text()
        'tick'
    """

    name: str = ""
    """The binding component."""
