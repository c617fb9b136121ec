"""Targets on this machine, and `memory:` targets, which are emulators inside the process."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from virtufin.api.client.errors import UnavailableError


class MemoryLease(Protocol):
    """The use of an emulator, which runs in this event loop, by one client."""

    target: str

    async def release(self) -> None:
        """Ends this use. The emulator stops when no client uses it any more."""


async def lease(name: str) -> MemoryLease:
    """Starts an emulator in the running event loop, or uses a running emulator of that name.

    The caller must release the result.

    Args:
        name: The name after `memory:`. An emulator with the name "" is never shared.

    Raises:
        UnavailableError: The emulator distribution is not installed.
    """
    # Imported by name here, because the client must run without the emulator distribution.
    try:
        module = importlib.import_module("virtufin.api.emulator._memory")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "host='memory:' needs the emulator: pip install virtufin-api-emulator",
            peer=f"memory:{name}",
        ) from error
    return cast("MemoryLease", await module.lease(name))


def is_local(target: str) -> bool:
    """Returns whether every address of a gRPC target is on this machine."""
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract", "memory"}:
        return True
    addresses = target
    if scheme in {"dns", "ipv4", "ipv6", "passthrough"}:
        addresses = rest.rpartition("/")[2]
    return all(_is_loopback(address) for address in addresses.split(","))


def _is_loopback(address: str) -> bool:
    # Only a single colon separates a port, because bare IPv6 addresses contain several.
    host = address.rpartition(":")[0] if address.count(":") == 1 else address
    if address.startswith("["):
        host = address[1:].partition("]")[0]
    # Imported here, because only clients that send a key without TLS need it.
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
