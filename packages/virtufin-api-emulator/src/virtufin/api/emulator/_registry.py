"""The registered backends by name, with the addresses the bundled ones turned out to have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from virtufin.api.emulator._services import Service


class Registry:
    """Registered services in order of registration."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = {service.name: service for service in services}
        self._targets: dict[str, str] = {}

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())

    def __contains__(self, name: object) -> bool:
        return name in self._services

    def get(self, name: str) -> Service | None:
        """The service of that name."""
        return self._services.get(name)

    def names(self) -> list[str]:
        """All names."""
        return list(self._services)

    def locate(self, name: str, target: str) -> None:
        """Sets where a bundled backend listens."""
        self._targets[name] = target

    def target(self, service: Service) -> str:
        """The gRPC target to call."""
        return self._targets.get(service.name, service.address)

    def endpoint(self, service: Service) -> tuple[str, int]:
        """Host and port to tell others."""
        return replace(service, address=self.target(service)).endpoint
