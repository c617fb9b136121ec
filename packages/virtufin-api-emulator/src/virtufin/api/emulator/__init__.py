"""An emulator of the Virtufin.Api gateway, for development and tests.

Example:
    >>> import asyncio
    >>> from virtufin.api.emulator import Emulator
    >>> async def main() -> bool:
    ...     async with Emulator() as gateway:
    ...         return gateway.port > 0
    >>> asyncio.run(main())
    True
"""

from __future__ import annotations

TYPE_CHECKING = False  # As in typing, whose import the command would be interrupted in.
if TYPE_CHECKING:
    from virtufin.api.emulator._dapr_settings import DaprSettings
    from virtufin.api.emulator._emulator import Emulator
    from virtufin.api.emulator._plans import Plan
    from virtufin.api.emulator._policy import InvocationPolicy
    from virtufin.api.emulator._process import EmulatorProcess
    from virtufin.api.emulator._relay import Relay
    from virtufin.api.emulator._services import SAMPLES, Service
    from virtufin.api.emulator.faults import Faults
    from virtufin.api.emulator.network import Network

__version__ = "0.2.0"
__all__ = [
    "SAMPLES",
    "DaprSettings",
    "Emulator",
    "EmulatorProcess",
    "Faults",
    "InvocationPolicy",
    "Network",
    "Plan",
    "Relay",
    "Service",
    "__version__",
]

_HOMES = {
    "DaprSettings": "_dapr_settings",
    "Emulator": "_emulator",
    "EmulatorProcess": "_process",
    "Faults": "faults",
    "InvocationPolicy": "_policy",
    "Network": "network",
    "Plan": "_plans",
    "Relay": "_relay",
    "SAMPLES": "_services",
    "Service": "_services",
}


def __getattr__(name: str) -> object:
    # Late, because pytest imports this package in every run for the plugin, and grpc is not cheap.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
