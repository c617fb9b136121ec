"""virtufin.State, in memory and on a Dapr sidecar with Redis."""

import json
from contextlib import AsyncExitStack

import grpc
import pytest

from virtufin.api.emulator import DaprSettings, Emulator
from virtufin.api.protos import pubsub_pb2, state_pb2

SERVICE = "workmanager"
OTHERWISE_ON_REDIS = {
    "test_an_etag_of_a_deleted_key_is_aborted": "Redis takes any etag for a key that is not there",
    "test_a_key_written_again_never_gets_an_old_etag": "Redis starts again at 1",
}
"""Said in docs/emulator.md."""


def save(key="k", value="v", **more):
    return state_pb2.SaveStateRequest(service=SERVICE, key=key, value=value, **more)


def get(key="k"):
    return state_pb2.GetStateRequest(service=SERVICE, key=key)


@pytest.fixture(scope="module")
def sidecar(real_parts, real_redis):
    with real_parts.Sidecar("state", real_parts.redis_components(real_redis)) as running:
        yield running


@pytest.fixture(params=["memory", "dapr"])
def backend(request):
    """Options of an emulator: every test here runs on both backends."""
    if request.param == "memory":
        return {}
    if reason := OTHERWISE_ON_REDIS.get(request.node.originalname):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return {"dapr": DaprSettings(address=request.getfixturevalue("sidecar").address)}


@pytest.fixture
async def start(backend):
    """Starts emulators that are reset and stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start_one(**options):
            emulator = await stack.enter_async_context(Emulator(**backend, **options))
            stack.push_async_callback(emulator.reset)
            return emulator

        yield start_one


@pytest.fixture
def state(stubs):
    return stubs.state


async def test_a_saved_value_is_read_back_with_an_etag(state):
    saved = await state.SaveState(save(value="väl"))
    assert (saved.status.success, saved.status.status) == (True, "OK")
    found = await state.GetState(get())
    assert (found.key, found.value) == ("k", "väl")
    assert found.etag


async def test_a_missing_key_answers_with_empty_value_and_etag(state):
    assert await state.GetState(get("none")) == state_pb2.GetStateResponse(key="none")


async def test_an_empty_value_still_has_an_etag(state):
    await state.SaveState(save(value=""))
    assert (await state.GetState(get())).etag


async def test_without_etag_the_last_write_wins(state):
    await state.SaveState(save(value="1"))
    await state.SaveState(save(value="2"))
    assert (await state.GetState(get())).value == "2"


async def test_a_write_with_the_current_etag_succeeds_and_changes_the_etag(state):
    await state.SaveState(save())
    etag = (await state.GetState(get())).etag
    await state.SaveState(save(value="new", etag=etag))
    found = await state.GetState(get())
    assert found.value == "new"
    assert found.etag != etag


async def test_another_etag_is_aborted_and_leaves_the_value(state, refused):
    await state.SaveState(save())
    error = await refused(state.SaveState(save(value="lost", etag="other")))
    assert error.code() is grpc.StatusCode.ABORTED
    assert "'other'" in error.details()
    assert (await state.GetState(get())).value == "v"


async def test_an_etag_of_a_deleted_key_is_aborted(state, refused):
    await state.SaveState(save())
    etag = (await state.GetState(get())).etag
    await state.DeleteState(state_pb2.DeleteStateRequest(service=SERVICE, key="k"))
    error = await refused(state.SaveState(save(etag=etag)))
    assert error.code() is grpc.StatusCode.ABORTED
    assert "does not exist" in error.details()


async def test_a_key_written_again_never_gets_an_old_etag(state):
    await state.SaveState(save())
    etag = (await state.GetState(get())).etag
    await state.DeleteState(state_pb2.DeleteStateRequest(service=SERVICE, key="k"))
    await state.SaveState(save())
    assert (await state.GetState(get())).etag != etag


async def test_keys_belong_to_a_service(state):
    await state.SaveState(save())
    other = state_pb2.GetStateRequest(service="websocketmanager", key="k")
    assert not (await state.GetState(other)).etag


async def test_deleting_takes_a_missing_key_too(state):
    request = state_pb2.DeleteStateRequest(service=SERVICE, key="none")
    assert (await state.DeleteState(request)).status.success


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (save(key=""), "key"),
        (save(key="a||b"), "a||b"),
        (state_pb2.SaveStateRequest(service="", key="k"), "service"),
        (state_pb2.SaveStateRequest(service="missing", key="k"), "missing"),
    ],
)
async def test_a_bad_key_or_service_is_an_invalid_argument(state, refused, request_, named):
    error = await refused(state.SaveState(request_))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named in error.details()


async def test_any_service_is_accepted_on_request(start, stubs_of):
    state = stubs_of(await start(accept_any_service=True)).state
    await state.SaveState(state_pb2.SaveStateRequest(service="missing", key="k", value="v"))
    found = await state.GetState(state_pb2.GetStateRequest(service="missing", key="k"))
    assert found.value == "v"


async def test_bulk_get_answers_in_the_order_of_the_request_with_missing_keys(state):
    for key in "abc":
        await state.SaveState(save(key=key, value=key.upper()))
    request = state_pb2.GetBulkStateRequest(service=SERVICE, keys=["c", "none", "a"])
    items = (await state.GetBulkState(request)).items
    assert [(item.key, item.value, bool(item.etag)) for item in items] == [
        ("c", "C", True),
        ("none", "", False),
        ("a", "A", True),
    ]


async def test_bulk_delete_deletes_all(state):
    for key in "abc":
        await state.SaveState(save(key=key))
    request = state_pb2.DeleteBulkStateRequest(service=SERVICE, keys=["a", "b", "none"])
    deleted = await state.DeleteBulkState(request)
    assert deleted.status.success
    assert not deleted.failed_keys
    assert not (await state.GetState(get("a"))).etag
    assert (await state.GetState(get("c"))).etag


async def test_all_state_is_of_keys_registered_or_used(state):
    await state.RegisterKeys(state_pb2.RegisterKeysRequest(service=SERVICE, keys=["a", "none"]))
    await state.SaveState(save(key="b", value="B"))
    found = await state.GetAllState(state_pb2.GetAllStateRequest(service=SERVICE))
    assert dict(found.values) == {"b": "B"}
    await state.SaveState(save(key="a", value="A"))
    found = await state.GetAllState(state_pb2.GetAllStateRequest(service=SERVICE))
    assert dict(found.values) == {"a": "A", "b": "B"}


async def test_all_state_is_of_keys_used_since_the_start(gateway, stubs_of):
    await stubs_of(gateway).state.SaveState(save())
    await gateway.stop()
    await gateway.start()
    state = stubs_of(gateway).state
    assert not (await state.GetAllState(state_pb2.GetAllStateRequest(service=SERVICE))).values
    await state.RegisterKeys(state_pb2.RegisterKeysRequest(service=SERVICE, keys=["k"]))
    assert (await state.GetAllState(state_pb2.GetAllStateRequest(service=SERVICE))).values


async def test_newer_gateways_lack_the_legacy_calls(start, stubs_of, refused):
    state = stubs_of(await start(legacy_state=False)).state
    for call in (
        state.RegisterKeys(state_pb2.RegisterKeysRequest(service=SERVICE, keys=["k"])),
        state.GetAllState(state_pb2.GetAllStateRequest(service=SERVICE)),
    ):
        assert (await refused(call)).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
async def next_change(stubs):
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["state.change"]))
    await stream.initial_metadata()

    async def change():
        return (await stream.read()).cloudevent

    return change


async def test_a_change_is_published_on_request(state, next_change):
    await state.SaveState(save(key="silent"))
    await state.SaveState(save(publish_change=True))
    event = await next_change()
    assert event.source == "urn:com.virtufin.api"
    assert event.attributes["datacontenttype"].ce_string == "application/json"
    assert event.attributes["time"].ce_timestamp.seconds
    assert json.loads(event.text_data) == {"service": SERVICE, "key": "k", "action": "save"}


async def test_a_change_carries_the_value_on_request(state, next_change):
    await state.SaveState(save(publish_change=True, include_value=True))
    assert json.loads((await next_change()).text_data)["value"] == "v"


async def test_a_deletion_is_published_with_the_value_that_was(state, next_change):
    await state.SaveState(save())
    await state.DeleteState(
        state_pb2.DeleteStateRequest(
            service=SERVICE, key="k", publish_change=True, include_value=True
        )
    )
    assert json.loads((await next_change()).text_data) == {
        "service": SERVICE,
        "key": "k",
        "action": "delete",
        "value": "v",
    }


async def test_a_bulk_deletion_is_published_once_with_its_keys(state, next_change):
    await state.DeleteBulkState(
        state_pb2.DeleteBulkStateRequest(service=SERVICE, keys=["a", "b"], publish_change=True)
    )
    assert json.loads((await next_change()).text_data) == {
        "service": SERVICE,
        "keys": ["a", "b"],
        "action": "delete",
    }
