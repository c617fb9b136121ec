"""State with etags."""

import asyncio

import grpc
import pytest

from tests.client.conftest import UNIT
from tests.client.scripted import WIRE
from tests.layouts import make_emulator
from virtufin.api.client import (
    ConflictError,
    DeadlineExceededError,
    InvalidRequestError,
    StateClient,
)

S = "workmanager"


async def test_a_saved_value_is_read(client):
    result = await client.save_state_async(S, "k", "v")
    state = await client.get_state_async(S, "k")
    assert result == {"success": True, "status": "OK", "message": ""}
    assert (state["value"], state["found"], bool(state["etag"])) == ("v", True, True)


async def test_a_missing_key_is_not_found_and_an_empty_value_is(client):
    await client.save_state_async(S, "empty", "")
    assert (await client.get_state_async(S, "empty"))["found"]
    assert await client.get_state_async(S, "missing") == {
        "key": "missing",
        "value": "",
        "etag": "",
        "found": False,
    }


async def test_a_write_succeeds_with_the_current_etag_and_fails_with_an_old_one(client):
    await client.save_state_async(S, "k", "1")
    etag = (await client.get_state_async(S, "k"))["etag"]
    await client.save_state_async(S, "k", "2", etag)
    with pytest.raises(ConflictError):
        await client.save_state_async(S, "k", "3", etag)
    assert (await client.get_state_async(S, "k"))["value"] == "2"


async def test_a_deleted_key_is_missing(client):
    await client.state.save(S, "k", "v")
    assert (await client.state.delete(S, "k"))["success"]
    assert not (await client.state.get(S, "k"))["found"]


async def test_bulk_results_come_in_the_order_of_the_request(client):
    await client.state.save(S, "a", "1")
    await client.state.save(S, "b", "2")
    items = await client.state.get_bulk(S, ["b", "missing", "a"])
    assert [(item["key"], item["value"], item["found"]) for item in items] == [
        ("b", "2", True),
        ("missing", "", False),
        ("a", "1", True),
    ]


async def test_a_key_requested_twice_is_answered_twice(client):
    await client.state.save(S, "a", "1")
    items = await client.state.get_bulk(S, ["a", "b", "a"])
    assert [item["key"] for item in items] == ["a", "b", "a"]


async def test_no_keys_need_no_call(scripted, connect):
    assert await connect(scripted).state.get_bulk(S, []) == []
    assert scripted.headers == []


async def test_bulk_deletion_names_what_is_still_there(scripted, connect):
    async def answer(request, context):
        return WIRE["State.DeleteBulkState"].response(failed_keys=["b"])

    scripted.answer("State.DeleteBulkState", answer)
    result = await connect(scripted).state.delete_bulk(S, ["a", "b"])
    assert result == {"success": True, "status": "OK", "message": "", "failed_keys": ["b"]}


async def test_bulk_deletion_deletes(client):
    await client.state.save(S, "a", "1")
    await client.state.delete_bulk(S, ["a"])
    assert not (await client.state.get(S, "a"))["found"]


async def test_a_query_takes_text_or_dict(client):
    await client.state.save(S, "a", '{"n": 1}')
    await client.state.save(S, "b", '{"n": 2}')
    found = await client.state.query(S, {"filter": {"EQ": {"n": 2}}})
    assert [item["key"] for item in found] == ["b"]
    assert len(await client.state.query(S)) == 2
    assert len(await client.state.query(S, "{}", limit=1)) == 1


async def test_an_unknown_service_is_refused(client):
    with pytest.raises(InvalidRequestError):
        await client.state.save("missing", "k", "v")


async def test_registered_keys_are_read_together(client):
    await client.register_keys_async(S, ["k1", "k2"])
    await client.save_state_async(S, "k1", "v1")
    assert (await client.get_all_state_async(S))["values"] == {"k1": "v1"}


async def test_the_client_remembers_the_keys_if_the_gateway_dropped_these_calls(connect):
    async with make_emulator(legacy_state=False) as gateway:
        client = connect(gateway)
        await client.save_state_async(S, "k1", "v1")
        assert (await client.register_keys_async(S, ["k1", "k2"]))["success"]
        assert await client.get_all_state_async(S) == {"values": {"k1": "v1"}}


async def test_a_change_is_published_on_request(client):
    async with client.pubsub.subscribe_async_iter("state.change") as changes:
        await client.state.save(S, "k", "v", include_value=True, publish_change=True)
        change = (await anext(changes)).data_as_json()
    assert change == {"service": S, "key": "k", "action": "save", "value": "v"}


async def test_update_applies_a_function(client):
    assert await client.state.update(S, "n", lambda value: str(int(value or 0) + 1)) == "1"
    assert await client.state.update(S, "n", lambda value: str(int(value or 0) + 1)) == "2"


async def test_update_takes_a_coroutine_function(client):
    async def double(value):
        await asyncio.sleep(0)
        return (value or "x") * 2

    assert await client.state.update(S, "k", double) == "xx"


async def test_update_that_returns_none_leaves_the_key_alone(client):
    await client.state.save(S, "k", "v")
    etag = (await client.state.get(S, "k"))["etag"]
    assert await client.state.update(S, "k", lambda value: None) == "v"
    assert (await client.state.get(S, "k"))["etag"] == etag


async def test_concurrent_updates_lose_nothing(client):
    await client.state.save(S, "n", "0")

    async def count():
        await client.state.update(S, "n", lambda value: str(int(value) + 1), attempts=100)

    await asyncio.gather(*(count() for _ in range(10)))
    assert (await client.state.get(S, "n"))["value"] == "10"


async def test_update_gives_up_after_its_attempts(scripted, connect):
    async def read(request, context):
        return WIRE["State.GetState"].response(key="k", value="v", etag="1")

    scripted.answer("State.GetState", read)
    scripted.fail("State.SaveState", grpc.StatusCode.ABORTED)
    with pytest.raises(ConflictError) as caught:
        await connect(scripted).state.update(S, "k", lambda value: "w", attempts=3)
    assert caught.value.attempt == 3


async def test_update_ends_with_its_timeout(scripted, connect):
    async def read(request, context):
        return WIRE["State.GetState"].response(key="k", value="v", etag="1")

    scripted.answer("State.GetState", read)
    scripted.fail("State.SaveState", grpc.StatusCode.ABORTED)
    with pytest.raises(DeadlineExceededError):
        await connect(scripted).state.update(
            S, "k", lambda value: "w", attempts=10_000, timeout=0.3 * UNIT
        )


async def test_an_error_of_the_function_reaches_the_caller(client):
    def broken(value):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await client.state.update(S, "k", broken)


METHODS = ("save", "get", "delete", "query", "get_bulk", "delete_bulk", "update")


@pytest.mark.parametrize("name", [*METHODS, "register_keys", "get_all_state"])
def test_every_method_exists_with_the_suffix_too(name):
    assert getattr(StateClient, f"{name}_async") is getattr(StateClient, name)


async def test_an_update_that_runs_out_of_time_names_all_of_its_time(client):
    async def slow(value):
        await asyncio.sleep(2.1 * UNIT)
        return "x"

    await client.get_state_async("workmanager", "k")
    with pytest.raises(DeadlineExceededError, match=rf"deadline \({2 * UNIT:.3g} s\)"):
        await client.state.update("workmanager", "k", slow, timeout=2 * UNIT)
