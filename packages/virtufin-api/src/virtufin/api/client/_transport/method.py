"""A gRPC method: its path, its message classes, and its encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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

    # Cached properties, because every call reads them, and a second reading enters no function.

    @cached_property
    def encode(self) -> Callable[[Any], bytes]:
        """Returns the function that serializes a request.

        It raises UnsupportedError if the gateway's message layout has no place for part of the
        request.
        """
        return self.request.SerializeToString  # type: ignore[no-any-return]

    @cached_property
    def decode(self) -> Callable[[bytes], Any]:
        """Returns the function that parses a response.

        It returns None for an item of a stream to skip, and raises DecodeError if the bytes are no
        response of this method.
        """
        return self.response.FromString  # type: ignore[no-any-return]

    @cached_property
    def path(self) -> str:
        """Returns the HTTP/2 path of the RPC."""
        return f"/{self.service}/{self.name}"

    @cached_property
    def full_name(self) -> str:
        """Returns the name for error texts, such as `virtufin.State/GetState`."""
        return f"{self.service}/{self.name}"
