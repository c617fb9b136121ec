"""Calls to backends that are named by app-id, through the sidecars of both."""

import asyncio
import os

import pytest

from tests.e2e.patience import until_answered
from tests.timing import UNIT
from virtufin.api.client import errors
from virtufin.api.emulator import DaprSettings, EmulatorProcess, InvocationPolicy, Service

POLICY = InvocationPolicy(retries=1, retry_delay=0.05 * UNIT, circuit_failures=1000)


@pytest.fixture(scope="module")
def app_id():
    """Unique, because names are resolved by multicast on the whole network."""
    return f"backend-{os.getpid()}"


@pytest.fixture(scope="module")
def server():
    """A gRPC server with reflection: another gateway."""
    with EmulatorProcess() as running:
        yield running


@pytest.fixture(scope="module")
def backend(start_sidecar, app_id, server):
    """The sidecar before it."""
    return start_sidecar(app_id, app_port=server.port)


@pytest.fixture(scope="module")
def gateway(start_replica, server, backend, app_id):
    typed = {"grpc_service": "virtufin.Gateway", "reflection_address": server.target}
    services = [
        Service("other", f"dapr:{app_id}", **typed),
        Service("absent", "dapr:absent", **typed),
        Service("untyped", "dapr:absent"),
    ]
    return start_replica("caller", services=services, invocation=POLICY)


async def test_a_backend_named_by_app_id_is_called_through_the_sidecar(gateway, connect):
    client = connect(gateway)
    reply = await client.gateway.other.ListServices()
    assert reply == {"services": ["workmanager", "websocketmanager"]}
    names = [method["name"] for method in await client.gateway.list_methods_async("other")]
    assert "InvokeJson" in names
    assert (await client.config.get_service("other"))["dapr_app_id"].startswith("backend-")


@pytest.mark.parametrize("header", ["dapr-app-id", "dapr-callee-app-id"])
async def test_a_caller_cannot_send_a_call_to_another_app(gateway, connect, header):
    client = connect(gateway, metadata={header: "absent"})
    assert await client.gateway.other.ListServices()


@pytest.mark.heavy
async def test_an_app_is_found_again_after_its_sidecar_was_killed(gateway, backend, connect):
    client = connect(gateway)
    await asyncio.to_thread(backend.restart)
    assert await until_answered(lambda: client.gateway.other.ListServices())


@pytest.mark.heavy
async def test_an_app_that_is_nowhere_is_unavailable(gateway, connect):
    for call in ("absent", "untyped"):
        with pytest.raises(errors.UnavailableError, match="absent"):
            await connect(gateway).gateway.invoke_async(call, "ListServices", timeout=10 * UNIT)


async def test_the_methods_of_an_app_are_not_known_without_reflection(gateway, connect):
    with pytest.raises(errors.VirtufinError, match="reflection_address"):
        await connect(gateway).gateway.list_methods_async("untyped")


def test_app_ids_need_a_sidecar():
    with pytest.raises(RuntimeError, match=r"'orders' is named by app-id.*--backend dapr"):
        EmulatorProcess(services=[Service("orders", "dapr:orders")])


def test_the_app_id_is_what_the_config_service_says():
    assert Service("orders", "dapr:o1").dapr_app_id == "o1"
    assert Service("orders", "dapr:o1", dapr_app_id="o2").dapr_app_id == "o2"
    assert Service("orders", "dapr:o1").dapr_app == "o1"
    assert Service("orders", "host:1").dapr_app == ""
    with pytest.raises(ValueError, match="app-id"):
        Service("orders", "dapr:")


def test_dapr_settings_are_dapr_settings():
    with pytest.raises(TypeError, match="DaprSettings"):
        EmulatorProcess(dapr="127.0.0.1:50001")
    with pytest.raises(ValueError, match="pubsub_name"):
        DaprSettings(pubsub_name="")
