"""A gRPC method: its path, its message classes, and its encoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """A gRPC method: its path and its message classes."""

    service: str
    """Full name of the service, `virtufin.State`."""
    name: str
    """Name of the method, `GetState`."""
    # Any, because classes of other message layouts are made at run time from descriptors.
    request: Any
    """Message class of the request."""
    response: Any
    """Message class of the response, or of each item of a stream."""
    server_streaming: bool = False
    """True if the response is a stream."""

    def encode(self, request: Any) -> bytes:
        """Serializes a request.

        Raises:
            UnsupportedError: The gateway's message layout has no place for part of the request.
        """
        # A variable, because `request` is Any and mypy rejects returning that as bytes.
        payload: bytes = request.SerializeToString()
        return payload

    def decode(self, raw: bytes) -> Any:
        """Parses a response; returns None for an item of a stream to skip.

        Raises:
            DecodeError: The bytes are no response of this method.
        """
        return self.response.FromString(raw)

    @property
    def path(self) -> str:
        """Returns the HTTP/2 path of the RPC."""
        return f"/{self.service}/{self.name}"

    @property
    def full_name(self) -> str:
        """Returns the name for error texts, such as `virtufin.State/GetState`."""
        return f"{self.service}/{self.name}"
