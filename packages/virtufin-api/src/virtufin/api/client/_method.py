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

    @property
    def path(self) -> str:
        """The HTTP/2 path of the RPC."""
        return f"/{self.service}/{self.name}"

    @property
    def full_name(self) -> str:
        """The name people read in errors, `virtufin.State/GetState`."""
        return f"{self.service}/{self.name}"
