"""virtufin.Gateway: Invoke and InvokeJson against a real backend."""

import asyncio
import base64
import json

import grpc
import pytest

from virtufin.api.emulator import SAMPLES, InvocationPolicy, Service
from virtufin.api.protos import gateway_pb2


@pytest.fixture
async def stubs(start, stubs_of, probe):
    gateway = await start(services=[Service("probe", probe.address)])
    return stubs_of(gateway)


@pytest.fixture
def echo(stubs, invoke_json):
    async def call(document, **options):
        text = document if isinstance(document, str) else json.dumps(document)
        return await invoke_json(stubs, "probe", "Echo", text, **options)

    return call


async def test_services_are_listed_in_order_of_registration(start, stubs_of):
    stubs = stubs_of(await start(services=[Service("zeta", "127.0.0.1:1"), *SAMPLES]))
    response = await stubs.gateway.ListServices(gateway_pb2.ListServicesRequest())
    assert list(response.services) == ["zeta", "workmanager", "websocketmanager"]


async def test_a_reply_is_camel_case_json(echo):
    response = await echo(
        {
            "some_text": "ä",
            "big_number": 2**60,
            "raw_bytes": base64.b64encode(b"\x00\xff").decode(),
            "color": "COLOR_RED",
            "at": "2026-01-02T03:04:05.5Z",
            "took": "1.5s",
            "children": [{"some_text": "child"}],
            "right": 0,
            "maybe": "",
        }
    )
    assert (response.success, response.status, response.message) == (True, "OK", "")
    assert json.loads(response.response_data) == {
        "someText": "ä",
        "bigNumber": str(2**60),
        "rawBytes": "AP8=",
        "color": "COLOR_RED",
        "at": "2026-01-02T03:04:05.500Z",
        "took": "1.500s",
        "children": [{"someText": "child"}],
        "right": 0,
        "maybe": "",
    }


async def test_defaults_are_left_out(echo):
    assert (await echo({"some_text": "", "color": "COLOR_NONE"})).response_data == "{}"


async def test_map_keys_stay_as_they_are(echo):
    document = {"countsByName": {"snake_case": 1, "camelCase": 2}}
    assert json.loads((await echo(document)).response_data) == document


async def test_an_any_is_resolved_in_the_backend_s_own_pool(echo):
    document = {"anything": {"@type": "type.googleapis.com/acme.Everything", "someText": "x"}}
    assert json.loads((await echo(document)).response_data) == document


async def test_requests_may_be_camel_case_too(echo):
    response = await echo({"someText": "x", "bigNumber": "7", "color": 1})
    assert json.loads(response.response_data) == {
        "someText": "x",
        "bigNumber": "7",
        "color": "COLOR_RED",
    }


async def test_an_empty_request_is_an_empty_message(echo):
    response = await echo("")
    assert response.success
    assert response.response_data == "{}"


async def test_replies_have_proto_names_on_request(start, stubs_of, probe, invoke_json):
    gateway = await start(services=[Service("probe", probe.address)], json_names="proto")
    response = await invoke_json(stubs_of(gateway), "probe", "Echo", '{"bigNumber": 1}')
    assert response.response_data == '{"big_number": "1"}'


async def test_an_unknown_field_is_an_invalid_request_that_names_it(echo, probe):
    response = await echo({"children": [{"colour": 1}]})
    assert (response.success, response.status) == (False, "INVALID_REQUEST")
    assert '"colour"' in response.message
    assert not probe.calls


@pytest.mark.parametrize(
    "text", ["{", "[]", "7", '"text"', '{"big_number": "x"}', '{"children": 1}', "[" * 100_000]
)
async def test_json_that_does_not_fit_is_an_invalid_request(echo, text):
    response = await echo(text)
    assert (response.success, response.status) == (False, "INVALID_REQUEST")
    assert "acme.Everything" in response.message


async def test_bytes_go_through_as_they_are(stubs, probe):
    data = probe.message()(some_text="x").SerializeToString()
    request = gateway_pb2.InvokeRequest(service="probe", method="Echo", request_data=data)
    response = await stubs.gateway.Invoke(request)
    assert (response.success, response.status) == (True, "OK")
    assert response.response_data == data


async def test_an_unknown_service_is_not_found_in_band(stubs, invoke_json):
    response = await invoke_json(stubs, "missing", "Echo")
    assert (response.success, response.status) == (False, "NOT_FOUND")
    assert "'missing'" in response.message


async def test_an_unknown_method_is_not_found_in_band(stubs, invoke_json):
    response = await invoke_json(stubs, "probe", "Shout")
    assert (response.success, response.status) == (False, "NOT_FOUND")
    assert "'Shout'" in response.message


@pytest.mark.parametrize("method", ["Watch", "Collect"])
async def test_a_streaming_method_is_unsupported(stubs, invoke_json, method):
    response = await invoke_json(stubs, "probe", method)
    assert (response.success, response.status) == (False, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.CANCELLED, "UNKNOWN"),
        (grpc.StatusCode.UNKNOWN, "UNKNOWN"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "UNAVAILABLE"),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (grpc.StatusCode.ALREADY_EXISTS, "INVALID_REQUEST"),
        (grpc.StatusCode.PERMISSION_DENIED, "UNKNOWN"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "UNKNOWN"),
        (grpc.StatusCode.FAILED_PRECONDITION, "INVALID_REQUEST"),
        (grpc.StatusCode.ABORTED, "UNKNOWN"),
        (grpc.StatusCode.OUT_OF_RANGE, "INVALID_REQUEST"),
        (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.DATA_LOSS, "INTERNAL"),
        (grpc.StatusCode.UNAUTHENTICATED, "UNKNOWN"),
    ],
)
async def test_a_backend_s_failure_is_reported_in_band(echo, probe, code, status):
    probe.failures = [code]
    response = await echo({})
    assert (response.success, response.status) == (False, status), response.message
    assert f"{code.name}: as the test wants" in response.message


async def test_request_headers_reach_the_backend(echo, probe):
    metadata = (("x-trace", "42"), ("x-bin", b"\x00"), ("x-api-key", "secret"))
    await echo({}, metadata=metadata)
    assert probe.metadata["x-trace"] == "42"
    assert probe.metadata["x-bin"] == b"\x00"
    # The key opens this gateway, not what is behind it.
    assert "x-api-key" not in probe.metadata


async def test_a_cancelled_call_is_cancelled_in_the_backend(stubs, probe, invoke_json, unit):
    reached, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(request):
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    probe.answer = hang
    call = asyncio.ensure_future(invoke_json(stubs, "probe", "Echo"))
    await reached.wait()
    assert not cancelled.is_set()
    call.cancel()
    assert await asyncio.wait_for(cancelled.wait(), 10 * unit)


async def test_a_reply_that_does_not_fit_is_an_internal_error(stubs, probe, invoke_json):
    async def garbage(request):
        return Garbage()

    probe.answer = garbage
    response = await invoke_json(stubs, "probe", "Echo")
    assert (response.success, response.status) == (False, "INTERNAL")
    assert "does not fit" in response.message


class Garbage:
    def SerializeToString(self):
        return b"\xff\xff\xff"


async def test_a_backend_with_several_services_offers_the_methods_of_all(
    start, stubs_of, make_probe, invoke_json
):
    backend = await make_probe()
    gateway = await start(
        services=[
            Service("all", backend.address),
            Service("one", backend.address, grpc_service="acme.Probe"),
            Service("wrong", backend.address, grpc_service="acme.Other"),
        ]
    )
    stubs = stubs_of(gateway)
    assert (await invoke_json(stubs, "all", "Echo")).success
    assert (await invoke_json(stubs, "one", "Echo")).success
    response = await invoke_json(stubs, "wrong", "Echo")
    assert response.status == "NOT_FOUND"
    assert "acme.Other" in response.message


async def test_a_backend_without_reflection_is_unsupported(
    start, stubs_of, make_probe, invoke_json
):
    backend = await make_probe(reflect=False)
    gateway = await start(services=[Service("mute", backend.address)])
    response = await invoke_json(stubs_of(gateway), "mute", "Echo")
    assert (response.success, response.status) == (False, "UNSUPPORTED")
    assert "reflection" in response.message


async def test_a_new_method_of_a_restarted_backend_is_found(
    start, stubs_of, make_probe, invoke_json, probe_text
):
    backend = await make_probe()
    stubs = stubs_of(await start(services=[Service("probe", backend.address)]))
    assert (await invoke_json(stubs, "probe", "Shout")).status == "NOT_FOUND"
    await backend.stop()
    newer = probe_text.replace('"Echo"', '"Shout"')
    await make_probe(newer, port=backend.port)
    assert (await invoke_json(stubs, "probe", "Shout")).success


async def test_descriptors_are_kept_until_they_are_too_old(
    start, stubs_of, make_probe, invoke_json, probe_text
):
    backend = await make_probe()
    services = [Service("probe", backend.address)]
    patient = stubs_of(await start(services=services))
    hasty = stubs_of(
        await start(services=services, invocation=InvocationPolicy(descriptor_lifetime=0))
    )
    for stubs in (patient, hasty):
        assert (await invoke_json(stubs, "probe", "Echo", '{"someText": "x"}')).success
    await backend.stop()
    await make_probe(probe_text.replace("some_text", "other_text"), port=backend.port)
    assert (await invoke_json(patient, "probe", "Echo", '{"someText": "x"}')).success
    response = await invoke_json(hasty, "probe", "Echo", '{"someText": "x"}')
    assert response.status == "INVALID_REQUEST"


async def test_first_calls_at_once_ask_reflection_once(start, stubs_of, probe, invoke_json):
    gateway = await start(services=[Service("probe", probe.address)])
    fetches = []
    fetch = gateway._catalog._fetch

    async def counted(service):
        fetches.append(service)
        return await fetch(service)

    gateway._catalog._fetch = counted
    stubs = stubs_of(gateway)
    calls = (invoke_json(stubs, "probe", "Echo") for _ in range(20))
    assert all(response.success for response in await asyncio.gather(*calls))
    assert len(fetches) == 1


async def test_backends_with_the_same_message_names_work_side_by_side(
    start, stubs_of, make_probe, invoke_json, probe_text
):
    first = await make_probe()
    second = await make_probe(probe_text.replace("some_text", "other_text"))
    services = [Service("first", first.address), Service("second", second.address)]
    stubs = stubs_of(await start(services=services))
    assert (await invoke_json(stubs, "first", "Echo", '{"some_text": "x"}')).success
    assert (await invoke_json(stubs, "second", "Echo", '{"other_text": "x"}')).success
