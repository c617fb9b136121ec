"""API keys, health checks."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.reflection import Reflection
from virtufin.api.emulator import Emulator
from virtufin.api.protos import gateway_pb2, pubsub_pb2


@pytest.fixture
async def gateway(start):
    return await start(api_keys=["first", "second"])


@pytest.fixture
def list_services(stubs):
    def call(*keys):
        metadata = [("x-api-key", key) for key in keys]
        return stubs.gateway.ListServices(gateway_pb2.ListServicesRequest(), metadata=metadata)

    return call


@pytest.mark.parametrize("key", ["first", "second"])
async def test_each_key_opens(list_services, key):
    assert (await list_services(key)).services


@pytest.mark.parametrize("keys", [(), ("",), ("firs",), ("first ",), ("FIRST",), ("third",)])
async def test_without_a_known_key_a_call_is_unauthenticated(list_services, refused, keys):
    error = await refused(list_services(*keys))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "x-api-key" in error.details()


async def test_streams_need_a_key_too(stubs, refused):
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    assert (await refused(stream.read())).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_reflection_needs_a_key_too(stubs, refused):
    error = await refused(Reflection(stubs.channel).list_services())
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    client = Reflection(stubs.channel, metadata=[("x-api-key", "first")])
    assert "virtufin.State" in await client.list_services()


async def test_health_checks_need_no_key(stubs):
    health = health_pb2_grpc.HealthStub(stubs.channel)
    response = await health.Check(health_pb2.HealthCheckRequest())
    assert response.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("service", ["", "virtufin.Gateway", "virtufin.Pubsub", "virtufin.State"])
async def test_health_is_reported_for_each_service(stubs, service):
    health = health_pb2_grpc.HealthStub(stubs.channel)
    response = await health.Check(health_pb2.HealthCheckRequest(service=service))
    assert response.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_an_unknown_service_is_not_found(stubs, refused):
    health = health_pb2_grpc.HealthStub(stubs.channel)
    error = await refused(health.Check(health_pb2.HealthCheckRequest(service="x")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_health_can_be_watched(stubs):
    watch = health_pb2_grpc.HealthStub(stubs.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_a_single_text_is_not_taken_for_a_list_of_keys():
    with pytest.raises(TypeError, match="iterable"):
        Emulator(api_keys="secret")


def test_an_empty_key_is_refused():
    with pytest.raises(ValueError, match="empty"):
        Emulator(api_keys=[""])
