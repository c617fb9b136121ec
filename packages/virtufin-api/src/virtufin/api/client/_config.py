"""What the gateway knows about its services."""

from __future__ import annotations

from typing import Any

from virtufin.api.client._arguments import name
from virtufin.api.client._sentinel import NOT_GIVEN, NotGiven
from virtufin.api.client._transport import Transport
from virtufin.api.client._wire import Wire
from virtufin.api.client.results import ConfigServiceResult


class ConfigClient:
    """Reads the gateway's configuration of services.

    Example:
        >>> async def where(client):
        ...     service = await client.config.get_service("workmanager")
        ...     return service and service["grpc"]
    """

    def __init__(self, transport: Transport, wire: Wire) -> None:
        self._transport = transport
        self._wire = wire

    async def list_services(
        self, *, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> list[ConfigServiceResult]:
        """All services the gateway is configured with."""
        call = self._wire["Config.ListServices"]
        reply = await self._transport.unary(call, call.request(), timeout=timeout)
        return [_service(service) for service in reply.services]

    async def get_service(
        self, service: str, *, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> ConfigServiceResult | None:
        """One service; None where the gateway does not know the name."""
        call = self._wire["Config.GetService"]
        request = call.request(name=name(service, "service"))
        reply = await self._transport.unary(call, request, timeout=timeout, service=service)
        return _service(reply.service) if reply.HasField("service") else None

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
