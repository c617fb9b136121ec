"""Which backend a gateway has, and parts that are only there with the Dapr plugin."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from virtufin.api.emulator._backends import Backend, MemoryBackend
from virtufin.api.emulator._invocation import AppRoute, Registry
from virtufin.api.emulator._settings import DaprSettings


def chosen(dapr: DaprSettings | None, registry: Registry) -> tuple[Backend, AppRoute | None]:
    """What keeps state and carries events, and the way to backends named by app-id.

    Raises:
        ValueError: A backend is named by app-id, and there is no sidecar.
        TypeError: The settings are none.
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
    backend = plugin("_backends.dapr").DaprBackend(dapr)
    return backend, backend.link


def plugin(module: str) -> Any:
    """A module of this package that needs the Dapr plugin.

    Raises:
        ImportError: That is not installed; the text says how it is.
    """
    try:
        return import_module(f"{__package__}.{module}")
    except ImportError as error:
        raise ImportError(
            "this needs the Dapr plugin: pip install 'virtufin-api-emulator[dapr]'"
        ) from error
