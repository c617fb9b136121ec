"""Headers of calls to backends that are named by app-id."""

import pytest

from virtufin.api.emulator import DaprSettings, Service
from virtufin.api.protos import gateway_pb2

proto = pytest.importorskip("dapr.proto", reason="the Dapr plugin is not installed")


async def test_a_caller_cannot_say_which_app_a_call_is_for(start, stubs_of, probe):
    # The backend itself is where the sidecar would be.
    gateway = await start(
        dapr=DaprSettings(address=probe.address, api_token="s3cr3t"),
        services=[Service("orders", "dapr:orders-app", reflection_address=probe.address)],
    )
    request = gateway_pb2.InvokeJsonRequest(service="orders", method="Echo", request_data="{}")
    headers = (
        ("dapr-app-id", "other"),
        ("dapr-callee-app-id", "other"),
        ("dapr-api-token", "guessed"),
        ("traceparent", "00-1-2-01"),
    )
    reply = await stubs_of(gateway).gateway.InvokeJson(request, metadata=headers)
    assert reply.success
    of_dapr = sorted(pair for pair in probe.headers if pair[0].startswith("dapr-"))
    assert of_dapr == [("dapr-api-token", "s3cr3t"), ("dapr-app-id", "orders-app")]
    assert ("traceparent", "00-1-2-01") in probe.headers


async def test_a_backend_that_is_called_directly_gets_them(start, stubs_of, probe):
    gateway = await start(services=[Service("orders", probe.address)])
    request = gateway_pb2.InvokeJsonRequest(service="orders", method="Echo", request_data="{}")
    headers = (("dapr-caller-app-id", "me"),)
    await stubs_of(gateway).gateway.InvokeJson(request, metadata=headers)
    assert ("dapr-caller-app-id", "me") in probe.headers
