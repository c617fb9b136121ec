"""The choice between state and events in memory and those on a Dapr sidecar.

Apart, because this is the only module that imports parts which need the Dapr plugin, when they are
used. The emulator works without the plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from virtufin.api.emulator._backends import Backend, MemoryBackend
from virtufin.api.emulator._invocation import AppRoute, Registry
from virtufin.api.emulator._settings import DaprSettings


def choose_backend(
    dapr: DaprSettings | None, registry: Registry
) -> tuple[Backend, AppRoute | None]:
    """Returns the store of state and events, and the route to services behind the sidecar.

    Args:
        dapr: Settings of the sidecar. None means that state and events are in memory, without a
            route.
        registry: The services that the gateway calls. A service named by app-id is called through
            the sidecar.

    Returns:
        The store, and the route or None.

    Raises:
        ValueError: A service is named by app-id, but there is no sidecar.
        TypeError: `dapr` is neither a `DaprSettings` nor None.
        ImportError: The Dapr plugin is not installed.
    """
    if dapr is None:
        if through_dapr := [service.name for service in registry if service.dapr_app]:
            raise ValueError(
                f"service {through_dapr[0]!r} is named by app-id, which needs a Dapr sidecar: "
                "give dapr=DaprSettings(), on the command line --backend dapr"
            )
        return MemoryBackend(), None
    if not isinstance(dapr, DaprSettings):
        raise TypeError(f"dapr is a DaprSettings or None, got {dapr!r}")
    backend = import_plugin("_backends.dapr").DaprBackend(dapr)
    return backend, backend.connection


def import_plugin(module: str) -> Any:
    """Imports a module of this package that needs the Dapr plugin, and returns the module.

    Raises:
        ImportError: The Dapr plugin is not installed. The text says how to install it.
    """
    # Imported by name at run time, because the emulator must also work without the plugin.
    try:
        return import_module(f"{__package__}.{module}")
    except ImportError as error:
        raise ImportError(
            "this needs the Dapr plugin: pip install 'virtufin-api-emulator[dapr]'"
        ) from error
