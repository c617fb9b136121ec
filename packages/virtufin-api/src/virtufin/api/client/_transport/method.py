"""One RPC of the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """One RPC: where it is and what goes over it."""

    service: str
    """Full name of the service, `virtufin.State`."""
    name: str
    """Name of the method, `GetState`."""
    request: Any
    """Message class of the request."""
    response: Any
    """Message class of the response, or of each item of a stream."""
    server_streaming: bool = False
    """Whether the response is a stream."""

    def encode(self, request: Any) -> bytes:
        """The bytes to send for a request.

        Raises:
            UnsupportedError: What it says cannot be said to this gateway.
        """
        payload: bytes = request.SerializeToString()
        return payload

    def decode(self, raw: bytes) -> Any:
        """The response in these bytes; None for an item of a stream that says nothing.

        Raises:
            DecodeError: They are something else.
        """
        return self.response.FromString(raw)

    @property
    def path(self) -> str:
        """The HTTP/2 path of the RPC."""
        return f"/{self.service}/{self.name}"

    @property
    def full_name(self) -> str:
        """The name people read in errors, `virtufin.State/GetState`."""
        return f"{self.service}/{self.name}"
