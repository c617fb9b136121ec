"""All sixteen codes, from every kind of call, arrive as our errors and as what old code catches."""

import asyncio
import copy
import pickle

import grpc
import pytest

from tests.client.calls import UNARY
from tests.client.conftest import UNIT
from tests.client.scripted import WIRE
from tests.codes import FATAL, TRANSIENT
from virtufin.api.client import (
    AbortedError,
    AlreadyExistsError,
    CallCancelledError,
    ConflictError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidInputError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ReconnectSettings,
    ResourceExhaustedError,
    RetrySettings,
    StreamFailedError,
    StreamInterruptedError,
    UnauthenticatedError,
    UnavailableError,
    UnknownError,
    UnsupportedError,
    VirtufinError,
)

MEANING = {
    grpc.StatusCode.CANCELLED: CallCancelledError,
    grpc.StatusCode.UNKNOWN: UnknownError,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ABORTED: AbortedError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DATA_LOSS: DataLossError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
}
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
# Calls that newer gateways dropped: the client answers these itself.
ANSWERED_HERE = {
    ("register keys", grpc.StatusCode.UNIMPLEMENTED),
    ("all state", grpc.StatusCode.UNIMPLEMENTED),
}
FAILING = [(call, code) for call in UNARY for code in CODES if (call, code) not in ANSWERED_HERE]


def by_name(code):
    return code.name


def test_the_codes_are_all_sixteen():
    assert set(MEANING) == set(CODES)
    assert len(CODES) == 16


@pytest.mark.parametrize(
    ("call", "code"), FAILING, ids=[f"{call}-{code.name}" for call, code in FAILING]
)
async def test_every_code_from_every_call_is_our_error_and_a_grpc_error(
    scripted, connect, call, code
):
    method, make = UNARY[call]
    scripted.fail(method, code, "what went wrong", trail="value")
    client = connect(scripted, retry=RetrySettings(max_attempts=1))
    with pytest.raises(grpc.RpcError) as caught:
        await make(client)
    error = caught.value
    assert isinstance(error, VirtufinError)
    assert isinstance(error, MEANING[code])
    assert error.code() is code
    assert error.details() == "what went wrong"
    assert ("trail", "value") in error.trailing_metadata()
    assert error.method == WIRE[method].full_name
    assert error.status == code.name
    assert error.peer == client.target
    assert error.attempt == 1


@pytest.mark.parametrize("code", CODES, ids=by_name)
@pytest.mark.parametrize("stage", ["before headers", "after headers", "after an event"])
async def test_every_code_at_every_stage_of_a_stream_reaches_the_consumer_as_our_error(
    scripted, connect, code, stage
):
    async def broken(request, context):
        if stage != "before headers":
            await context.send_initial_metadata(())
        if stage == "after an event":
            yield WIRE["Pubsub.Subscribe"].response(topic="t")
        await context.abort(code, "what went wrong")

    scripted.answer("Pubsub.Subscribe", broken)
    never = ReconnectSettings(should_reconnect=lambda error: False)
    client = connect(scripted, reconnect=never)
    with pytest.raises(StreamFailedError) as caught:
        async for _ in client.pubsub.subscribe_async_iter("t"):
            pass
    assert isinstance(caught.value, (grpc.RpcError, MEANING[code]))
    assert isinstance(caught.value, MEANING[code])
    assert caught.value.code() is code
    assert caught.value.topic == "t"


@pytest.mark.parametrize("code", CODES, ids=by_name)
async def test_a_subscription_reconnects_after_transient_codes_and_fails_on_the_others(
    scripted, connect, code
):
    opened = 0

    async def broken_once(request, context):
        nonlocal opened
        opened += 1
        if opened == 1:
            await context.abort(code, "once")
        yield WIRE["Pubsub.Subscribe"].response(topic="t")

    scripted.answer("Pubsub.Subscribe", broken_once)
    client = connect(scripted)
    subscription = client.pubsub.subscribe_async_iter("t")
    if code in TRANSIENT:
        assert (await anext(subscription)).topic == "t"
    else:
        with pytest.raises(MEANING[code]):
            await anext(subscription)
        assert opened == 1
    await subscription.aclose()


@pytest.mark.parametrize("code", sorted(FATAL, key=by_name), ids=by_name)
async def test_a_fatal_code_before_the_stream_is_live_raises_from_the_subscribe_call(
    scripted, connect, code
):
    scripted.fail("Pubsub.Subscribe", code)
    client = connect(scripted)
    with pytest.raises(MEANING[code]) as caught:
        await client.pubsub.subscribe_async("t")
    assert isinstance(caught.value, StreamFailedError)
    with pytest.raises(MEANING[code]):
        await client.subscribe_async_with_handler(lambda event: None, topics="t")


REFUSALS = {
    "INTERNAL": InternalError,
    "INVALID_REQUEST": InvalidRequestError,
    "NOT_FOUND": NotFoundError,
    "UNAVAILABLE": UnavailableError,
    "UNKNOWN": UnknownError,
    "UNSUPPORTED": UnsupportedError,
    "CONFLICT": ConflictError,
    "SOMETHING_NEW": UnknownError,
    "": UnknownError,
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_an_in_band_refusal_is_our_error_and_a_value_error(scripted, connect, status):
    async def refuse(request, context):
        return WIRE["Gateway.InvokeJson"].response(success=False, status=status, message="no")

    scripted.answer("Gateway.InvokeJson", refuse)
    with pytest.raises(REFUSALS[status]) as caught:
        await connect(scripted).invoke_async("workmanager", "Any", {})
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, grpc.RpcError)
    assert caught.value.service == "workmanager"
    assert caught.value.status == (status or "UNKNOWN")


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("State.SaveState", lambda c: c.save_state_async("workmanager", "k", "v", "7")),
        ("State.DeleteState", lambda c: c.state.delete("workmanager", "k")),
        ("State.DeleteBulkState", lambda c: c.state.delete_bulk("workmanager", ["k"])),
        ("State.RegisterKeys", lambda c: c.register_keys_async("workmanager", ["k"])),
        ("Pubsub.PublishEvent", lambda c: c.pubsub.publish_async("t", "d")),
        ("Pubsub.Unsubscribe", lambda c: c.pubsub.unsubscribe_async("id")),
    ],
)
async def test_a_refusing_status_of_any_reply_raises(scripted, connect, method, call):
    async def refuse(request, context):
        response = WIRE[method].response()
        response.status.success = False
        response.status.status = "INTERNAL"
        return response

    scripted.answer(method, refuse)
    with pytest.raises(InternalError, match="the gateway refused: INTERNAL"):
        await call(connect(scripted))


async def test_a_conflict_carries_service_key_and_the_etag_sent(gateway, client):
    await client.save_state_async("workmanager", "k", "v")
    with pytest.raises(ConflictError) as caught:
        await client.save_state_async("workmanager", "k", "w", etag="not-it")
    error = caught.value
    assert (error.service, error.key, error.etag) == ("workmanager", "k", "not-it")
    assert isinstance(error, AbortedError)
    assert error.code() is grpc.StatusCode.ABORTED


async def test_a_conflict_that_comes_in_band_is_the_same_class(scripted, connect):
    async def refuse(request, context):
        response = WIRE["State.SaveState"].response()
        response.status.status = "CONFLICT"
        return response

    scripted.answer("State.SaveState", refuse)
    with pytest.raises(ConflictError) as caught:
        await connect(scripted).save_state_async("workmanager", "k", "w", etag="3")
    assert (caught.value.service, caught.value.key, caught.value.etag) == ("workmanager", "k", "3")


async def test_an_abort_without_etag_is_no_conflict(scripted, connect):
    scripted.fail("State.SaveState", grpc.StatusCode.ABORTED)
    with pytest.raises(AbortedError) as caught:
        await connect(scripted).save_state_async("workmanager", "k", "v")
    assert not isinstance(caught.value, ConflictError)


async def test_a_timeout_is_what_old_and_new_code_catches(scripted, connect, hanging):
    with pytest.raises(DeadlineExceededError) as caught:
        await connect(scripted).state.get("workmanager", "k", timeout=0.05 * UNIT)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, asyncio.TimeoutError)
    assert isinstance(caught.value, grpc.RpcError)


async def test_errors_survive_pickling_and_copying(scripted, connect):
    scripted.fail("State.GetState", grpc.StatusCode.NOT_FOUND, "gone", trail="value")
    with pytest.raises(NotFoundError) as caught:
        await connect(scripted).get_state_async("workmanager", "k")
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert isinstance(twin, NotFoundError)
        assert isinstance(twin, grpc.RpcError)
        assert twin.code() is grpc.StatusCode.NOT_FOUND
        assert str(twin) == str(caught.value)


def test_an_error_of_the_client_itself_survives_pickling():
    error = pickle.loads(pickle.dumps(InvalidInputError("bad", topic="t")))
    assert isinstance(error, InvalidInputError)
    assert error.topic == "t"


async def test_the_api_key_never_shows_in_an_error(scripted, connect):
    scripted.fail(
        "State.GetState", grpc.StatusCode.UNAUTHENTICATED, "no key s3cr3t here", echo="s3cr3t"
    )
    client = connect(scripted, api_key="s3cr3t")
    with pytest.raises(UnauthenticatedError) as caught:
        await client.get_state_async("workmanager", "k")
    error = caught.value
    shown = f"{error} {error!r} {error.details()} {error.debug_error_string()}"
    assert "s3cr3t" not in shown + repr(error.trailing_metadata()) + repr(error.__cause__)
    assert "VIRTUFIN_API_KEY" in str(error)


async def test_an_interruption_says_when_it_will_be_retried_and_why(scripted, connect):
    async def broken(request, context):
        await context.send_initial_metadata(())
        await context.abort(grpc.StatusCode.UNAVAILABLE, "gateway restarts")
        yield

    scripted.answer("Pubsub.Subscribe", broken)
    errors = []
    reported = asyncio.Event()

    class Handler:
        def on_event(self, event):
            pass

        def on_error(self, error):
            errors.append(error)
            reported.set()

    await connect(scripted).subscribe_async_with_handler(Handler(), topics="t")
    await reported.wait()
    assert isinstance(errors[0], StreamInterruptedError)
    assert isinstance(errors[0], UnavailableError)
    assert errors[0].retry_in > 0
    assert "gateway restarts" in str(errors[0])
    assert isinstance(errors[0].__cause__, UnavailableError)
