"""Dapr state queries through virtufin.State/QueryState."""

import json

import grpc
import pytest

from virtufin.api.protos import state_pb2

PEOPLE = {
    "ann": {"name": "Ann", "age": 41, "home": {"city": "Bern"}, "active": True},
    "bob": {"name": "Bob", "age": 23, "home": {"city": "Basel"}, "active": False},
    "cid": {"name": "Cid", "age": 35.5, "home": {"city": "Bern"}, "active": 1},
    "dan": {"name": "Dan"},
}


@pytest.fixture
async def query(stubs):
    for key, value in PEOPLE.items():
        await stubs.state.SaveState(
            state_pb2.SaveStateRequest(service="workmanager", key=key, value=json.dumps(value))
        )
    await stubs.state.SaveState(
        state_pb2.SaveStateRequest(service="workmanager", key="text", value="no JSON")
    )

    async def run(document, limit=0):
        text = document if isinstance(document, str) else json.dumps(document)
        request = state_pb2.QueryStateRequest(service="workmanager", query=text, limit=limit)
        return [item.key for item in (await stubs.state.QueryState(request)).items]

    return run


async def test_an_empty_query_matches_all(query):
    assert await query("{}") == [*PEOPLE, "text"]


async def test_items_carry_value_and_etag(stubs, query):
    request = state_pb2.QueryStateRequest(service="workmanager", query="{}", limit=1)
    (item,) = (await stubs.state.QueryState(request)).items
    assert json.loads(item.value) == PEOPLE["ann"]
    assert item.etag


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"EQ": {"home.city": "Bern"}}, ["ann", "cid"]),
        ({"EQ": {"active": True}}, ["ann"]),
        ({"EQ": {"active": 1}}, ["cid"]),
        ({"NEQ": {"home.city": "Bern"}}, ["bob"]),
        ({"GT": {"age": 35}}, ["ann", "cid"]),
        ({"GTE": {"age": 41}}, ["ann"]),
        ({"LT": {"age": 35.5}}, ["bob"]),
        ({"LTE": {"name": "Bob"}}, ["ann", "bob"]),
        ({"GT": {"name": 1}}, []),
        ({"IN": {"name": ["Bob", "Dan"]}}, ["bob", "dan"]),
        ({"AND": [{"EQ": {"home.city": "Bern"}}, {"LT": {"age": 40}}]}, ["cid"]),
        ({"OR": [{"EQ": {"name": "Dan"}}, {"EQ": {"name": "Bob"}}]}, ["bob", "dan"]),
        ({}, [*PEOPLE, "text"]),
    ],
)
async def test_filters(query, condition, expected):
    assert await query({"filter": condition}) == expected


async def test_sorting_puts_what_lacks_the_key_last(query):
    assert await query({"sort": [{"key": "age"}]}) == ["bob", "cid", "ann", "dan", "text"]
    by_age = {"sort": [{"key": "age", "order": "DESC"}]}
    assert await query(by_age) == ["ann", "cid", "bob", "dan", "text"]


async def test_sorting_by_several_keys_and_mixed_types(query):
    order = {"sort": [{"key": "home.city"}, {"key": "age", "order": "DESC"}]}
    assert await query(order) == ["bob", "ann", "cid", "dan", "text"]
    assert (await query({"sort": [{"key": "active"}]}))[:3] == ["cid", "bob", "ann"]
    assert (await query({"sort": [{"key": "name"}]}))[:4] == ["ann", "bob", "cid", "dan"]


async def test_pages(query):
    assert await query({"page": {"limit": 2}}) == ["ann", "bob"]
    assert await query({"page": {"limit": 2, "token": "2"}}) == ["cid", "dan"]
    assert await query({"page": {"token": "4"}}) == ["text"]


async def test_the_request_s_limit_cuts_the_result(query):
    assert await query("{}", limit=3) == ["ann", "bob", "cid"]
    assert await query({"page": {"limit": 2}}, limit=3) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("", "not JSON"),
        ("[]", "object"),
        ("[" * 100_000, "not JSON"),
        ({"filters": {}}, "filters"),
        ({"filter": {"LIKE": {"name": "A"}}}, "LIKE"),
        ({"filter": {"EQ": {"a": 1}, "NEQ": {"b": 1}}}, "one operator"),
        ({"filter": {"EQ": {"a": 1, "b": 2}}}, "one path"),
        ({"filter": {"EQ": {"a..b": 1}}}, "a..b"),
        ({"filter": {"GT": {"a": True}}}, "True"),
        ({"filter": {"IN": {"a": 1}}}, "list"),
        ({"filter": {"AND": []}}, "list"),
        ({"sort": {}}, "list"),
        ({"sort": [{"key": "a", "order": "UP"}]}, "UP"),
        ({"sort": [{"order": "ASC"}]}, "path"),
        ({"page": {"limit": "1"}}, "limit"),
        ({"page": {"limit": True}}, "limit"),
        ({"page": {"token": "x"}}, "token"),
    ],
)
async def test_an_invalid_query_says_what_is_wrong(query, refused, document, named):
    error = await refused(query(document))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named in error.details()


async def test_a_negative_limit_is_an_invalid_argument(query, refused):
    error = await refused(query("{}", limit=-1))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
