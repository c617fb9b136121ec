"""Methods, bindings and the health check, on either server."""

import asyncio
import json

import grpc
import pytest

from tests.timing import UNIT
from virtufin.api import client
from virtufin.api.dapr import DaprApp


@pytest.fixture
def app():
    return DaprApp(port=0)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, (b"", "")),
        ("ü", ("ü".encode(), "text/plain; charset=utf-8")),
        (b"\x00", (b"\x00", "application/octet-stream")),
        ({"a": [1]}, (b'{"a":[1]}', "application/json")),
        (0, (b"0", "application/json")),
    ],
    ids=str,
)
async def test_the_result_of_a_method_is_the_answer(app, serving, result, expected):
    @app.method("quote")
    async def quote(request):
        return result

    async with serving(app) as caller:
        assert await caller.invoke("quote") == expected


async def test_a_method_gets_what_the_caller_sent(app, serving):
    seen = []

    @app.method("quote")
    def quote(request):
        seen.append(request)

    async with serving(app) as caller:
        await caller.invoke("quote", b'{"symbol":"ABC"}', "application/json")
    [request] = seen
    assert (request.method, request.content_type) == ("quote", "application/json")
    assert request.data_as_json() == {"symbol": "ABC"}
    assert request.data_as_text() == '{"symbol":"ABC"}'
    assert request.metadata["tenant"] == "a"


async def test_a_method_gets_verb_and_query_of_an_http_caller(app, own):
    seen = []

    @app.method("quote")
    async def quote(request):
        seen.append((request.verb, request.query))

    async with own(app) as caller:
        await caller.invoke("quote", verb="POST", query="a=1&b=2")
        await caller.invoke("quote")
    assert seen == [("POST", "a=1&b=2"), ("", "")]


async def test_an_unknown_method_is_unimplemented(app, serving):
    async with serving(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.invoke("quot")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_unknown_method_is_answered_with_a_list_of_the_methods(app, own):
    for name in ("quote", "cancel"):
        app.method(name)(lambda request: None)
    async with own(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError, match="no method 'quot'; did you mean 'quote'"):
            await caller.invoke("quot")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (client.NotFoundError("no ABC"), grpc.StatusCode.NOT_FOUND),
        (client.InvalidInputError("no ABC"), grpc.StatusCode.INVALID_ARGUMENT),
        (client.InvalidRequestError("no ABC"), grpc.StatusCode.INVALID_ARGUMENT),
        (client.ConflictError("no ABC"), grpc.StatusCode.ABORTED),
        (client.UnavailableError("no ABC"), grpc.StatusCode.UNAVAILABLE),
        (client.ClientClosedError("no ABC"), grpc.StatusCode.INTERNAL),
        (KeyError("no ABC"), grpc.StatusCode.INTERNAL),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_of_a_method_is_a_status_by_its_meaning(app, own, error, code, caplog):
    @app.method("quote")
    async def quote(request):
        raise error

    async with own(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.invoke("quote")
    assert caught.value.code() is code
    assert "no ABC" in caught.value.details()
    assert "method 'quote' failed" in caplog.text


async def test_a_failure_of_a_method_says_what_it_was(app, serving):
    @app.method("quote")
    async def quote(request):
        raise KeyError("ABC")

    async with serving(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError, match="KeyError: 'ABC'"):
            await caller.invoke("quote")


class Nameless(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (client.NotFoundError(7), "NOT_FOUND", "7"),
        (client.NotFoundError("y" * 100_000), "NOT_FOUND", "yyy"),
        (client.NotFoundError("\N{DUCK}" * 100_000), "NOT_FOUND", "\N{DUCK}"),
        (ValueError("a\ud800b"), "INTERNAL", "ValueError: a?b"),
        (Nameless(), "INTERNAL", "Nameless"),
        (GeneratorExit(), "INTERNAL", "GeneratorExit"),
    ],
    ids=["number", "long", "long and wide", "no unicode", "no text", "no exception"],
)
async def test_every_failure_of_a_method_keeps_its_meaning(app, own, error, code, details):
    @app.method("quote")
    async def quote(request):
        raise error

    async with own(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(caller.invoke("quote"), 10 * UNIT)
    assert caught.value.code().name == code
    assert details in caught.value.details()


async def test_a_token_at_the_cut_of_a_long_text_does_not_show_in_part(own):
    app = DaprApp(port=0, api_token="secret-token")

    @app.method("quote")
    async def quote(request):
        raise ValueError("y" * 1180 + "secret-token")

    async with own(app, token="secret-token") as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.invoke("quote")
    assert "sec" not in caught.value.details()


async def test_a_method_does_not_see_the_token(serving):
    app = DaprApp(port=0, api_token="secret-token")
    seen = []

    @app.method("quote")
    async def quote(request):
        seen.append(repr(request))

    async with serving(app, token="secret-token") as caller:
        await caller.invoke("quote")
    [request] = seen
    assert "tenant" in request
    assert "secret-token" not in request


@pytest.mark.parametrize("data", [b"{", b"\xff"])
async def test_data_that_cannot_be_read_is_the_callers_fault(app, own, data):
    @app.method("quote")
    async def quote(request):
        return request.data_as_json()

    async with own(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.invoke("quote", data)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_answer_that_json_cannot_hold_is_refused(app, own):
    @app.method("quote")
    async def quote(request):
        return {"a": float("nan")}

    async with own(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError, match="the answer cannot be sent as JSON"):
            await caller.invoke("quote")


async def test_methods_count_among_what_runs_at_a_time(own):
    app = DaprApp(port=0, max_concurrency=1)
    began, go = asyncio.Event(), asyncio.Event()

    @app.method("first")
    async def first(request):
        began.set()
        await go.wait()

    @app.method("second")
    async def second(request):
        assert go.is_set()

    async with own(app) as caller:
        calls = [asyncio.ensure_future(caller.invoke("first"))]
        await began.wait()
        calls.append(asyncio.ensure_future(caller.invoke("second")))
        await caller.subscriptions()
        go.set()
        await asyncio.gather(*calls)


# Bindings


async def test_a_binding_gets_what_came(app, serving):
    seen = []

    @app.binding("clock")
    async def on_tick(request):
        seen.append((request.name, request.data_as_text(), dict(request.metadata)))

    async with serving(app) as caller:
        assert await caller.bindings() == ["clock"]
        assert await caller.bind("clock", b"tick", readTimeUTC="now") == b""
    assert seen == [("clock", "tick", {"readTimeUTC": "now"})]


async def test_the_result_of_a_binding_is_in_the_answer(app, own):
    @app.binding("clock")
    async def on_tick(request):
        return {"seen": True}

    async with own(app) as caller:
        assert json.loads(await caller.bind("clock")) == {"seen": True}


async def test_a_binding_that_raises_fails(app, serving):
    @app.binding("clock")
    async def on_tick(request):
        raise RuntimeError("stopped")

    async with serving(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError, match="RuntimeError: stopped"):
            await caller.bind("clock")


async def test_an_unknown_binding_is_unimplemented(app, serving):
    async with serving(app) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.bind("clock")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# Health


async def test_an_app_is_healthy_by_default(app, serving):
    async with serving(app) as caller:
        assert await caller.healthy()


async def test_the_health_check_decides(app, serving):
    answers = [True, False, None, RuntimeError("ill")]

    @app.health_check
    async def check():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with serving(app) as caller:
        assert [await caller.healthy() for _ in range(4)] == [True, False, True, False]
