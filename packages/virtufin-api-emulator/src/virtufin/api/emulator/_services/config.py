"""The service virtufin.Config.

Apart, because each service of the gateway has a module of its own.
"""

from __future__ import annotations

from typing import Any

from virtufin.api.client._wire import Wire
from virtufin.api.emulator._invocation import Registry, Service


class ConfigServicer:
    """The methods of the service, which list and describe the registered backends.

    Args:
        wire: Message layout of the replies.
        registry: The registered backends.
    """

    def __init__(self, wire: Wire, registry: Registry) -> None:
        self._wire = wire
        self._registry = registry

    async def list_services(self, request: Any, context: Any) -> Any:
        return self._wire["Config.ListServices"].response(
            services=[self._describe(service) for service in self._registry]
        )

    async def get_service(self, request: Any, context: Any) -> Any:
        service = self._registry.get(request.name)
        # No error for an unknown name, because the reply expresses that by leaving the service
        # out.
        fields = {"service": self._describe(service)} if service else {}
        return self._wire["Config.GetService"].response(**fields)

    def _describe(self, service: Service) -> dict[str, Any]:
        host, port = self._registry.get_endpoint(service)
        return {
            "name": service.name,
            "dapr_app_id": service.dapr_app_id or service.name,
            "grpc": {"host": host, "port": port, "reflection_enabled": True},
            "pubsub": {"pubsub_name": service.pubsub_name},
            "state": {"store_name": service.store_name, "keys": list(service.state_keys)},
            "jobs": {},
        }
