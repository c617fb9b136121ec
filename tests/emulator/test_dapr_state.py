"""State answers of a sidecar that Redis does not give: a store with queries, and one in trouble."""

import grpc
import grpc.aio
import pytest

from virtufin.api.emulator import DaprSettings
from virtufin.api.protos import state_pb2

proto = pytest.importorskip("dapr.proto", reason="the Dapr plugin is not installed")


class Store(proto.api_service_v1.DaprServicer):
    """The state part of a sidecar: answers what a test has put in."""

    def __init__(self):
        self.items = []
        self.queries = []

    async def QueryStateAlpha1(self, request, context):
        self.queries.append((request.store_name, request.query))
        return proto.api_v1.QueryStateResponse(
            results=[proto.api_v1.QueryStateItem(**item) for item in self.items]
        )

    async def GetBulkState(self, request, context):
        return proto.api_v1.GetBulkStateResponse(
            items=[proto.api_v1.BulkStateItem(**item) for item in self.items]
        )

    async def SaveState(self, request, context):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the key is too long")

    async def GetState(self, request, context):
        return proto.api_v1.GetStateResponse(data=b"v", etag="1")


@pytest.fixture
async def store(serve_sidecar):
    return await serve_sidecar(Store())


@pytest.fixture
async def state(store, start, stubs_of):
    settings = DaprSettings(address=store.address, store_name="values")
    return stubs_of(await start(dapr=settings)).state


def item(key, data=b"v", etag="1", **more):
    return {"key": key, "data": data, "etag": etag, **more}


def query(text="{}", limit=0):
    return state_pb2.QueryStateRequest(service="workmanager", query=text, limit=limit)


async def test_a_query_is_answered_with_the_items_of_the_service(store, state):
    store.items = [item("workmanager:a"), item("other:b"), item("workmanager:c", b"\xff", "2")]
    reply = await state.QueryState(query('{"filter": {}}'))
    assert store.queries == [("values", '{"filter": {}}')]
    assert [(one.key, one.value, one.etag) for one in reply.items] == [
        ("a", "v", "1"),
        ("c", "\ufffd", "2"),
    ]


async def test_a_query_gives_no_more_than_were_wanted(store, state):
    store.items = [item(f"workmanager:{number}") for number in range(5)]
    assert len((await state.QueryState(query(limit=2))).items) == 2


async def test_an_item_in_trouble_fails_the_call_and_is_named(store, state, refused):
    store.items = [item("workmanager:a"), item("workmanager:b", error="disk on fire")]
    bulk = state_pb2.GetBulkStateRequest(service="workmanager", keys=["a", "b"])
    for call in (state.QueryState(query()), state.GetBulkState(bulk)):
        error = await refused(call)
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "workmanager:b: disk on fire" in error.details()


async def test_no_keys_are_no_call(store, state):
    store.items = [item("workmanager:a", error="asked for nothing")]
    bulk = state_pb2.GetBulkStateRequest(service="workmanager")
    assert not (await state.GetBulkState(bulk)).items


async def test_a_failure_for_another_reason_than_the_etag_is_no_conflict(state, refused):
    save = state_pb2.SaveStateRequest(service="workmanager", key="k", value="v", etag="1")
    error = await refused(state.SaveState(save))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "too long" in error.details()


async def test_another_etag_is_a_conflict_whatever_the_store_calls_it(state, refused):
    save = state_pb2.SaveStateRequest(service="workmanager", key="k", value="v", etag="x")
    error = await refused(state.SaveState(save))
    assert error.code() is grpc.StatusCode.ABORTED
    assert "has etag '1', not 'x'" in error.details()


async def test_a_call_that_the_sidecar_lacks_is_not_one_that_the_gateway_lacks(state, refused):
    error = await refused(
        state.DeleteState(state_pb2.DeleteStateRequest(service="workmanager", key="k"))
    )
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
