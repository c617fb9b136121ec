"""A gRPC method: its path, its message classes, and its encoding.

Apart, because message layouts are made of methods, and know nothing else of the transport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Method:
    """A gRPC method: its path and its message classes. Immutable."""

    # A plain class with attributes, because every call reads them, and a dataclass with properties
    # would cost time there and when the package is imported.

    def __init__(
        self,
        service: str,
        name: str,
        # Any, because classes of other message layouts are made at run time from descriptors.
        request: Any,
        response: Any,
        *,
        server_streaming: bool = False,
    ) -> None:
        """Does no I/O.

        Args:
            service: Full name of the service, such as `virtufin.State`.
            name: Name of the method, such as `GetState`.
            request: Message class of the request.
            response: Message class of the response, or of each item of a stream.
            server_streaming: True if the response is a stream.
        """
        self.service = service
        self.name = name
        self.request = request
        self.response = response
        self.server_streaming = server_streaming
        self.path = f"/{service}/{name}"
        """The HTTP/2 path of the RPC."""
        self.full_name = f"{service}/{name}"
        """The name for error texts, such as `virtufin.State/GetState`."""
        self.encode: Callable[[Any], bytes] = request.SerializeToString
        """Serializes a request. Raises UnsupportedError if the gateway's message layout lacks a
        field that the request needs."""
        self.decode: Callable[[bytes], Any] = response.FromString
        """Parses a response. Returns None for an item of a stream that must be skipped, such as a
        heartbeat. Raises DecodeError if the bytes are not a response of this method."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.full_name}>"
