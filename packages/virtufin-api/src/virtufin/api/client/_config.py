"""The client for the gateway's configuration of services."""

from __future__ import annotations

from typing import Any

from virtufin.api.client._types import NOT_GIVEN, Timeout
from virtufin.api.client._validation import require_name
from virtufin.api.client._wire import Rpc
from virtufin.api.client.results import ConfigServiceResult


class ConfigClient:
    """Reads the gateway's configuration of services.

    Example:
        >>> async def where(client):
        ...     service = await client.config.get_service("workmanager")
        ...     return service and service["grpc"]
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def list_services(self, *, timeout: Timeout = NOT_GIVEN) -> list[ConfigServiceResult]:
        """Returns all services in the gateway's configuration."""
        reply = await self._rpc.unary("Config.ListServices", {}, self._rpc.budget(timeout))
        return [_service(service) for service in reply.services]

    async def get_service(
        self, service: str, *, timeout: Timeout = NOT_GIVEN
    ) -> ConfigServiceResult | None:
        """Returns the configuration of a service, or None if the gateway does not know the name.

        Args:
            service: Name of the service.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.
        """
        fields = {"name": require_name(service, "service")}
        budget = self._rpc.budget(timeout)
        reply = await self._rpc.unary("Config.GetService", fields, budget, service=service)
        # None instead of an error, because a gateway answers an unknown name with an empty reply.
        return _service(reply.service) if reply.HasField("service") else None

    # Each method is public with and without `_async`, because methods of the other clients have
    # that suffix.
    list_services_async = list_services
    get_service_async = get_service


def _service(service: Any) -> ConfigServiceResult:
    result: ConfigServiceResult = {
        "name": service.name,
        "dapr_app_id": service.dapr_app_id,
        "grpc": None,
        "pubsub": None,
        "state": None,
        "jobs": None,
    }
    # Checked with HasField, because a part that is not configured must be None, not empty texts.
    if service.HasField("grpc"):
        grpc = service.grpc
        result["grpc"] = {
            "host": grpc.host,
            "port": grpc.port,
            "reflection_enabled": grpc.reflection_enabled,
        }
    if service.HasField("pubsub"):
        result["pubsub"] = {"pubsub_name": service.pubsub.pubsub_name}
    if service.HasField("state"):
        state = service.state
        result["state"] = {"store_name": state.store_name, "keys": list(state.keys)}
    if service.HasField("jobs"):
        result["jobs"] = {}
    return result
