"""A reset of a gateway on a sidecar: what it has written there is deleted, or it says why not."""

import asyncio

import grpc
import grpc.aio
import pytest

from virtufin.api.emulator import DaprSettings, EmulatorProcess
from virtufin.api.protos import state_pb2, state_pb2_grpc

proto = pytest.importorskip("dapr.proto", reason="the Dapr plugin is not installed")
empty_pb2 = pytest.importorskip("google.protobuf.empty_pb2")


class Store(proto.api_service_v1.DaprServicer):
    """The state part of a sidecar; deletes nothing while it is `broken`."""

    def __init__(self):
        self.keys = set()
        self.broken = False

    async def SaveState(self, request, context):
        self.keys |= {item.key for item in request.states}
        return empty_pb2.Empty()

    async def DeleteState(self, request, context):
        return await self._delete([request.key], context)

    async def DeleteBulkState(self, request, context):
        return await self._delete([item.key for item in request.states], context)

    async def _delete(self, keys, context):
        if self.broken:
            await context.abort(grpc.StatusCode.INTERNAL, "disk on fire")
        self.keys -= set(keys)
        return empty_pb2.Empty()


@pytest.fixture
async def store(serve_sidecar):
    return await serve_sidecar(Store())


async def save(state, *keys):
    for key in keys:
        await state.SaveState(state_pb2.SaveStateRequest(service="workmanager", key=key, value="v"))


@pytest.fixture
async def gateway(start, store):
    return await start(dapr=DaprSettings(address=store.address))


@pytest.mark.slow
async def test_all_that_was_written_is_deleted(gateway, store, stubs):
    await save(stubs.state, *(f"k{number}" for number in range(1001)))
    await gateway.reset()
    assert not store.keys


async def test_of_a_stopped_gateway_too(gateway, store, stubs):
    await save(stubs.state, "k")
    await gateway.stop()
    await gateway.reset()
    assert not store.keys
    await gateway.start()
    await save(stubs.state, "k")


async def test_keys_that_could_not_be_deleted_are_reported_and_deleted_the_next_time(
    gateway, store, stubs
):
    await save(stubs.state, "a", "b")
    store.broken = True
    gateway.faults.fail("*", "UNAVAILABLE", times=None)
    with pytest.raises(ConnectionError, match="disk on fire"):
        await gateway.reset()
    store.broken = False
    await save(stubs.state, "c")
    await gateway.reset()
    assert not store.keys


async def test_a_process_of_its_own_reports_too(store, connect):
    store.broken = True
    with EmulatorProcess(dapr=DaprSettings(address=store.address)) as gateway:
        await save(state_pb2_grpc.StateStub(connect(gateway.target)), "k")
        with pytest.raises(OSError, match="disk on fire"):
            await asyncio.to_thread(gateway.reset)
