"""What handlers get and return: requests of methods and bindings, and outcomes of events."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from virtufin.api.client._json import from_json
from virtufin.api.client.errors import InvalidReplyError, InvalidRequestError


class Outcome(enum.IntEnum):
    """What the sidecar is answered; the numbers are those of `TopicEventResponse`."""

    SUCCESS = 0
    RETRY = 1
    DROP = 2


class Drop(Exception):  # noqa: N818 - the outcome's name in Dapr
    """Raised by a handler to give an event up: handling it again would not help.

    The sidecar puts the event on the dead-letter topic where the subscription has one, and
    forgets it otherwise. Who asked (the event carries `replytopic` and `correlationid`) is told:
    its call raises `RequestFailedError`, which is also an `InvalidRequestError`, or of the class
    of the `VirtufinError` this was raised from.

    Args:
        reason: Why; logged, and told to who asked. What is no text counts as its text.

    Example:
        >>> from virtufin.api.dapr import DaprApp, Drop
        >>> app = DaprApp()
        >>> @app.subscribe("orders")
        ... async def on_order(event):
        ...     if event.data_as_json()["quantity"] <= 0:
        ...         raise Drop("an order needs a quantity above zero")
    """

    reason: str = ""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = str(reason)


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
