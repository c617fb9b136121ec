"""The choice of a gateway's backend, and imports of parts that need the Dapr plugin."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from virtufin.api.emulator._backends import Backend, MemoryBackend
from virtufin.api.emulator._invocation import AppRoute, Registry
from virtufin.api.emulator._settings import DaprSettings


def choose_backend(
    dapr: DaprSettings | None, registry: Registry
) -> tuple[Backend, AppRoute | None]:
    """Returns the backend for state and events, and the route to backends named by app-id.

    Args:
        dapr: Settings of the sidecar. None means a backend in memory without a route.
        registry: Registered services.

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
    # Imported by name at run time, because the emulator must also work without the plugin. Only
    # this module imports such parts.
    try:
        return import_module(f"{__package__}.{module}")
    except ImportError as error:
        raise ImportError(
            "this needs the Dapr plugin: pip install 'virtufin-api-emulator[dapr]'"
        ) from error
