"""API keys and tokens show nowhere; functions that give them may fail."""

import asyncio
import traceback

import grpc
import pytest

from tests.client.conftest import UNIT, until
from tests.client.scripted import WIRE
from tests.layouts import make_emulator
from virtufin.api.client import (
    ApiClient,
    ApiKeyError,
    DeadlineExceededError,
    InternalError,
    InvalidInputError,
    SubscriptionState,
    TlsSettings,
    UnauthenticatedError,
    VirtufinError,
)

KEY = "s3cr3t-key"


def everything_readable(error):
    """All texts of an error and of whatever hangs on it."""
    texts, seen = [], []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        waiting += [each.__cause__, each.__context__]
        texts += [str(each), repr(each), repr(each.__dict__)]
        if isinstance(each, grpc.RpcError):
            texts += [each.details(), each.debug_error_string(), repr(each.trailing_metadata())]
    texts += traceback.format_exception(type(error), error, error.__traceback__)
    return "\n".join(map(str, texts))


async def test_a_status_that_echoes_the_key_is_redacted_everywhere(scripted, connect):
    async def echo(request, context):
        trailing = (("echo", KEY), ("echo-bin", KEY.encode()))
        await context.abort(grpc.StatusCode.INTERNAL, f"headers were {KEY}", trailing)

    scripted.answer("State.GetState", echo)
    with pytest.raises(InternalError) as caught:
        await connect(scripted, api_key=KEY).get_state_async("workmanager", "k")
    assert KEY not in everything_readable(caught.value)
    assert "***" in str(caught.value)


async def test_a_refusal_that_echoes_the_key_is_redacted(scripted, connect):
    async def echo(request, context):
        return WIRE["Gateway.InvokeJson"].response(status="INTERNAL", message=f"sent {KEY}")

    scripted.answer("Gateway.InvokeJson", echo)
    with pytest.raises(InternalError) as caught:
        await connect(scripted, api_key=KEY).invoke_async("any", "Any")
    assert KEY not in everything_readable(caught.value)


async def test_a_stream_that_echoes_the_key_is_redacted_in_error_and_log(scripted, connect, caplog):
    async def echo(request, context):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"key {KEY} may not")
        yield

    scripted.answer("Pubsub.Subscribe", echo)
    with pytest.raises(VirtufinError) as caught:
        await connect(scripted, api_key=KEY).pubsub.subscribe_async("t")
    assert KEY not in everything_readable(caught.value)
    assert "may not" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("echoed", [KEY, f"Bearer {KEY}"])
async def test_tokens_in_metadata_are_redacted_too(scripted, connect, echoed):
    scripted.fail("State.GetState", grpc.StatusCode.INTERNAL, f"saw {echoed}")
    client = connect(scripted, metadata={"authorization": f"Bearer {KEY}", "x-team": "quant"})
    with pytest.raises(InternalError) as caught:
        await client.get_state_async("workmanager", "k")
    assert KEY not in everything_readable(caught.value)


async def test_no_raw_grpc_error_hangs_on_ours(scripted, connect):
    scripted.fail("State.GetState", grpc.StatusCode.INTERNAL)
    with pytest.raises(InternalError) as caught:
        await connect(scripted).get_state_async("workmanager", "k")
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


async def test_a_private_key_is_never_shown(tmp_path):
    certificate = b"-----BEGIN CERTIFICATE-----\n"
    for key in ("the key itself", f"{KEY}\0", str(tmp_path / KEY)):
        client = ApiClient("localhost", tls=TlsSettings(certificate=certificate, key=key))
        with pytest.raises(InvalidInputError, match=r"TlsSettings\.key") as caught:
            await client.list_services_async()
        assert key not in everything_readable(caught.value)
        await client.close()


async def test_a_key_function_that_raises_is_an_error_of_ours(gateway, connect):
    def broken():
        raise ConnectionError("vault is away")

    with pytest.raises(ApiKeyError, match="vault is away") as caught:
        await connect(gateway, api_key=broken).list_services_async()
    assert isinstance(caught.value, UnauthenticatedError)
    assert isinstance(caught.value.__cause__, ConnectionError)


async def test_a_key_functions_own_timeout_is_not_the_calls_deadline(gateway, connect):
    async def slow_vault():
        raise TimeoutError("vault timed out")

    with pytest.raises(ApiKeyError, match="vault timed out"):
        await connect(gateway, api_key=slow_vault).list_services_async()


async def test_a_key_function_that_never_returns_ends_with_the_calls_deadline(gateway, connect):
    cancelled = asyncio.Event()

    async def never():
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    with pytest.raises(DeadlineExceededError):
        await connect(gateway, api_key=never).list_services_async(timeout=0.1 * UNIT)
    await asyncio.wait_for(cancelled.wait(), 5 * UNIT)


async def test_cancelling_a_call_cancels_its_key_function(gateway, connect):
    began, ended = asyncio.Event(), asyncio.Event()

    async def never():
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    task = asyncio.create_task(connect(gateway, api_key=never).list_services_async())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 5 * UNIT)


async def test_a_subscription_outlives_a_key_function_that_fails_once(connect):
    answers = iter(["secret", ConnectionError("vault restarts")])

    def key():
        answer = next(answers, "secret")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with make_emulator(api_keys=["secret"]) as gateway:
        client = connect(gateway, api_key=key)
        subscription = await client.pubsub.subscribe_async("t")
        gateway.faults.cut_streams()
        await until(lambda: subscription.stats.attempts >= 3)
        await until(lambda: subscription.state is SubscriptionState.LIVE)
        await subscription.aclose()
