"""The gateway's patience with its backends: retries, limits, the circuit."""

import asyncio

import grpc
import pytest

from virtufin.api.emulator import InvocationPolicy, Service

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def test_the_defaults_are_the_documented_gateway_s():
    policy = InvocationPolicy()
    assert (policy.call_limit, policy.retries, policy.retry_delay) == (30, 3, 0.2)
    assert (policy.circuit_failures, policy.circuit_open) == (5, 30)
    assert policy.descriptor_lifetime == 3600


@pytest.fixture
def stubs_with(start, stubs_of, probe):
    async def make(**policy):
        services = [Service("probe", probe.address)]
        policy = {"retry_delay": 0.001, **policy}
        return stubs_of(await start(services=services, invocation=InvocationPolicy(**policy)))

    return make


async def test_an_unavailable_backend_is_tried_three_times_more(stubs_with, probe, invoke_json):
    stubs = await stubs_with()
    probe.failures = [UNAVAILABLE] * 3
    assert (await invoke_json(stubs, "probe", "Echo")).success
    assert probe.calls == 4


async def test_then_the_call_is_unavailable(stubs_with, probe, invoke_json):
    stubs = await stubs_with()
    probe.failures = [UNAVAILABLE] * 4
    response = await invoke_json(stubs, "probe", "Echo")
    assert (response.success, response.status) == (False, "UNAVAILABLE")
    assert probe.calls == 4


async def test_other_failures_are_not_tried_again(stubs_with, probe, invoke_json):
    stubs = await stubs_with()
    probe.failures = [grpc.StatusCode.INTERNAL]
    await invoke_json(stubs, "probe", "Echo")
    assert probe.calls == 1


async def test_the_delay_doubles(stubs_with, probe, invoke_json, unit):
    stubs = await stubs_with(retry_delay=0.05 * unit)
    probe.failures = [UNAVAILABLE] * 3
    before = asyncio.get_running_loop().time()
    await invoke_json(stubs, "probe", "Echo")
    assert asyncio.get_running_loop().time() - before >= 0.34 * unit


async def test_a_backend_that_comes_back_during_a_call_is_reached(
    stubs_with, probe, invoke_json, unit
):
    stubs = await stubs_with(retry_delay=0.1 * unit, retries=6)
    assert (await invoke_json(stubs, "probe", "Echo")).success
    await probe.stop()
    call = asyncio.ensure_future(invoke_json(stubs, "probe", "Echo"))
    await asyncio.sleep(0.15 * unit)
    assert not call.done()
    await probe.start()
    assert (await call).success


async def hang(request):
    await asyncio.Event().wait()


async def test_a_call_is_given_up_after_the_limit(stubs_with, probe, invoke_json, unit):
    stubs = await stubs_with(call_limit=0.2 * unit)
    probe.answer = hang
    response = await invoke_json(stubs, "probe", "Echo", timeout=10 * unit)
    assert (response.success, response.status) == (False, "UNAVAILABLE")
    assert "DEADLINE_EXCEEDED" in response.message


async def test_retries_stop_at_the_limit(stubs_with, probe, invoke_json, unit):
    stubs = await stubs_with(call_limit=2.0 * unit, retry_delay=1.0 * unit)
    probe.failures = [UNAVAILABLE] * 4
    response = await invoke_json(stubs, "probe", "Echo", timeout=20 * unit)
    assert response.status == "UNAVAILABLE"
    assert probe.calls == 2


async def test_the_backend_gets_the_limit_or_the_caller_s_shorter_deadline(
    stubs_with, probe, invoke_json, unit
):
    stubs = await stubs_with()
    await invoke_json(stubs, "probe", "Echo")
    # gRPC rounds what is left up, by a hundredth at most.
    assert 20 < probe.time_left < 30.5
    await invoke_json(stubs, "probe", "Echo", timeout=10 * unit)
    assert probe.time_left < 10.5 * unit


async def test_the_caller_s_own_deadline_reaches_the_backend(
    stubs_with, probe, invoke_json, refused, unit
):
    stubs = await stubs_with()
    ended = asyncio.Event()

    async def hang_until_cancelled(request):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    probe.answer = hang_until_cancelled
    error = await refused(invoke_json(stubs, "probe", "Echo", timeout=0.3 * unit))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(ended.wait(), 5 * unit)


async def fail(stubs, probe, invoke_json, times):
    for _ in range(times):
        probe.failures = [UNAVAILABLE]
        assert (await invoke_json(stubs, "probe", "Echo")).status == "UNAVAILABLE"
    probe.failures = []


async def test_five_failures_open_the_circuit(stubs_with, probe, invoke_json):
    stubs = await stubs_with(retries=0)
    await fail(stubs, probe, invoke_json, 5)
    response = await invoke_json(stubs, "probe", "Echo")
    assert (response.success, response.status) == (False, "UNAVAILABLE")
    assert "circuit" in response.message
    assert probe.calls == 5


async def test_an_answer_of_any_kind_starts_the_count_over(stubs_with, probe, invoke_json):
    stubs = await stubs_with(retries=0)
    await fail(stubs, probe, invoke_json, 4)
    probe.failures = [grpc.StatusCode.INTERNAL]
    assert (await invoke_json(stubs, "probe", "Echo")).status == "INTERNAL"
    await fail(stubs, probe, invoke_json, 4)
    assert (await invoke_json(stubs, "probe", "Echo")).success


async def test_an_open_circuit_closes_when_a_later_call_succeeds(
    stubs_with, probe, invoke_json, unit
):
    stubs = await stubs_with(retries=0, circuit_open=0.2 * unit)
    await fail(stubs, probe, invoke_json, 5)
    assert not (await invoke_json(stubs, "probe", "Echo")).success
    await asyncio.sleep(0.25 * unit)
    assert (await invoke_json(stubs, "probe", "Echo")).success
    assert (await invoke_json(stubs, "probe", "Echo")).success


async def test_a_single_call_tries_a_half_open_circuit_while_others_wait(
    stubs_with, probe, invoke_json, unit
):
    stubs = await stubs_with(retries=0, circuit_open=0.2 * unit)
    await fail(stubs, probe, invoke_json, 5)
    await asyncio.sleep(0.25 * unit)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request):
        reached.set()
        await go_on.wait()
        return request

    probe.answer = wait
    trial = asyncio.ensure_future(invoke_json(stubs, "probe", "Echo"))
    await reached.wait()
    assert "circuit" in (await invoke_json(stubs, "probe", "Echo")).message
    go_on.set()
    assert (await trial).success


async def test_a_failed_trial_opens_the_circuit_again(stubs_with, probe, invoke_json, unit):
    stubs = await stubs_with(retries=0, circuit_open=0.2 * unit)
    await fail(stubs, probe, invoke_json, 5)
    await asyncio.sleep(0.25 * unit)
    await fail(stubs, probe, invoke_json, 1)
    assert "circuit" in (await invoke_json(stubs, "probe", "Echo")).message


async def test_each_service_has_a_circuit_of_its_own(
    start, stubs_of, probe, make_probe, invoke_json
):
    other = await make_probe()
    gateway = await start(
        services=[Service("probe", probe.address), Service("other", other.address)],
        invocation=InvocationPolicy(retries=0),
    )
    stubs = stubs_of(gateway)
    await fail(stubs, probe, invoke_json, 5)
    assert (await invoke_json(stubs, "other", "Echo")).success


async def test_a_reset_closes_the_circuit(start, stubs_of, probe, invoke_json):
    gateway = await start(
        services=[Service("probe", probe.address)], invocation=InvocationPolicy(retries=0)
    )
    stubs = stubs_of(gateway)
    await fail(stubs, probe, invoke_json, 5)
    await gateway.reset()
    assert (await invoke_json(stubs, "probe", "Echo")).success
