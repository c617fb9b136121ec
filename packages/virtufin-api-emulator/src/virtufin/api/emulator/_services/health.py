"""The health check, grpc.health.v1.Health.

Apart, because both the server and the descriptors of the gateway need it.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio

FILE = health_pb2.DESCRIPTOR
SERVICE: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


async def add_health(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Adds the health service to a server.

    Args:
        server: The server, before its start.
        services: Full names of the services that are reported as SERVING.
    """
    servicer = aio.HealthServicer()
    for service in services:
        await servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
