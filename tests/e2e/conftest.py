"""Gateways on real sidecars with a real Redis, and clients of them."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from virtufin.api.client import ApiClient
from virtufin.api.emulator import DaprSettings, EmulatorProcess


@pytest.fixture(scope="module")
def resources(real_parts, real_redis):
    """Texts of the resource files that every sidecar here has."""
    return real_parts.redis_components(real_redis)


@pytest.fixture(scope="module")
def start_sidecar(real_parts, resources):
    """Starts sidecars that end with the module: `start_sidecar("app-id", app_port=...)`."""
    with ExitStack() as running:
        yield lambda app_id, **options: running.enter_context(
            real_parts.Sidecar(app_id, resources, **options)
        )


@pytest.fixture(scope="module")
def start_replica(start_sidecar):
    """Starts gateways with a sidecar each: `start_replica("app-id")`."""
    with ExitStack() as running:

        def start(app_id, *, services=None, invocation=None, **settings):
            sidecar = start_sidecar(app_id)
            gateway = running.enter_context(
                EmulatorProcess(
                    dapr=DaprSettings(address=sidecar.address, **settings),
                    services=services,
                    invocation=invocation,
                )
            )
            return SimpleNamespace(gateway=gateway, sidecar=sidecar)

        yield start


@pytest.fixture(scope="module")
def replicas(start_replica):
    """Two gateways of one Redis."""
    return start_replica("replica-1"), start_replica("replica-2")


@pytest.fixture(scope="module")
def publishing_sidecar(start_sidecar):
    """The sidecar of an app that publishes past the gateways."""
    return start_sidecar("publisher")


@pytest.fixture
async def connect():
    """Clients that are closed after the test: `connect(replica)`."""
    clients = []

    def new(replica, **settings):
        client = ApiClient(host=replica.gateway.host, grpc_port=replica.gateway.port, **settings)
        clients.append(client)
        return client

    yield new
    for client in clients:
        await client.close()


@pytest.fixture
def topic(request):
    """A topic of the test's own, as Redis keeps what was published to one."""
    return f"{request.node.name.replace('[', '.').rstrip(']')}"
