"""The `memory:` target: a gateway inside the process, from the emulator distribution."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from virtufin.api.client.errors import UnavailableError


class Lease(Protocol):
    """A share in an emulator that runs in this event loop."""

    target: str

    async def release(self) -> None:
        """Gives the share back; the last one stops the emulator."""


async def lease(name: str) -> Lease:
    """Starts the emulator of that name in the running loop, or joins it; "" is never shared.

    Raises:
        UnavailableError: The emulator distribution is not installed.
    """
    try:
        module = importlib.import_module("virtufin.api.emulator._memory")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "host='memory:' needs the emulator: pip install virtufin-api-emulator",
            peer=f"memory:{name}",
        ) from error
    return cast("Lease", await module.lease(name))
