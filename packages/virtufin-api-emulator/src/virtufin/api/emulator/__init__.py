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

# Instead of typing's constant, because importing typing takes time in which Ctrl-C would interrupt
# the command with a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from virtufin.api.emulator._emulator import Emulator
    from virtufin.api.emulator._faults.tcp_relay import Relay
    from virtufin.api.emulator._invocation.registered_services import SAMPLES, Service
    from virtufin.api.emulator._process.process import EmulatorProcess
    from virtufin.api.emulator._settings import DaprSettings, InvocationPolicy
    from virtufin.api.emulator.faults import Faults, Plan
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
    "DaprSettings": "_settings",
    "Emulator": "_emulator",
    "EmulatorProcess": "_process.process",
    "Faults": "faults",
    "InvocationPolicy": "_settings",
    "Network": "network",
    "Plan": "faults",
    "Relay": "_faults.tcp_relay",
    "SAMPLES": "_invocation.registered_services",
    "Service": "_invocation.registered_services",
}


def __getattr__(name: str) -> object:
    # Imported on first use, because pytest imports this package in every run for its plugin, and
    # importing grpc is slow.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
