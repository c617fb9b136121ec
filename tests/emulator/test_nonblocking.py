"""Nothing of the emulator blocks the event loop."""

import time

import grpc.aio
import pytest
from blockbuster import BlockingError
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.blocking import no_blocking_calls
from tests.reflection import Reflection
from virtufin.api.emulator import SAMPLES, Emulator, InvocationPolicy, Service

# Private, because a detector of blocking calls needs the control service in the test's own loop.
from virtufin.api.emulator._process.control_server import ControlServer
from virtufin.api.protos import cloudevents_pb2, config_pb2, gateway_pb2, pubsub_pb2, state_pb2

KEY = {"service": "workmanager", "key": "k"}


@pytest.fixture
def no_blocking():
    """Raises where code of the emulator makes a blocking call in the loop."""
    with no_blocking_calls("virtufin.api.emulator") as detector:
        yield detector


async def test_the_detector_sees_a_blocking_call_of_the_emulator(gateway, monkeypatch, no_blocking):
    monkeypatch.setattr(grpc.aio, "server", lambda *_, **__: time.sleep(0.01))
    with pytest.raises(BlockingError):
        await Emulator().start()


async def test_starting_resetting_and_stopping_block_nothing(gateway, no_blocking):
    # Beside `gateway`: with the last server or channel of a process grpc waits for a thread of its
    # own, a tenth of a millisecond.
    async with Emulator(api_keys=["key"], host="localhost") as other:
        await other.reset()
        await other.stop()
        await other.start()
        assert other.running


async def test_a_port_that_cannot_be_opened_blocks_nothing(gateway, no_blocking):
    with pytest.raises(OSError, match="taken"):
        await Emulator(port=gateway.port).start()


async def test_invocations_block_nothing(start, stubs_of, probe, invoke_json, no_blocking):
    stubs = stubs_of(await start(services=[*SAMPLES, Service("probe", probe.address)]))
    assert (await invoke_json(stubs, "workmanager", "CreateWorker")).success
    assert (await invoke_json(stubs, "probe", "Echo")).success
    await stubs.gateway.Invoke(gateway_pb2.InvokeRequest(service="probe", method="Echo"))
    await stubs.gateway.ListServices(gateway_pb2.ListServicesRequest())
    await stubs.gateway.ListMethods(gateway_pb2.ListMethodsRequest(service="probe"))
    await stubs.gateway.GetMethodSchema(
        gateway_pb2.GetMethodSchemaRequest(service="probe", method="Echo")
    )


async def test_a_backend_that_is_gone_blocks_nothing(
    start, stubs_of, probe, invoke_json, no_blocking
):
    patience = InvocationPolicy(retry_delay=0.001)
    services = [Service("probe", probe.address)]
    stubs = stubs_of(await start(services=services, invocation=patience))
    await probe.stop()
    assert (await invoke_json(stubs, "probe", "Echo")).status == "UNAVAILABLE"


async def test_state_blocks_nothing(gateway, stubs, no_blocking):
    await stubs.state.SaveState(state_pb2.SaveStateRequest(**KEY, value="1", publish_change=True))
    assert (await stubs.state.GetState(state_pb2.GetStateRequest(**KEY))).value == "1"
    await stubs.state.QueryState(state_pb2.QueryStateRequest(service="workmanager", query="{}"))
    await stubs.state.GetAllState(state_pb2.GetAllStateRequest(service="workmanager"))
    await stubs.state.DeleteState(state_pb2.DeleteStateRequest(**KEY))


async def test_events_block_nothing(gateway, stubs, no_blocking):
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    await stream.initial_metadata()
    event = cloudevents_pb2.CloudEvent(id="1")
    await stubs.pubsub.PublishEvent(pubsub_pb2.PublishRequest(topic="a", cloudevent=event))
    assert (await stream.read()).topic == "a"
    assert gateway.faults.cut_streams("OK") == 1


async def test_config_health_and_reflection_block_nothing(stubs, no_blocking):
    await stubs.config.ListServices(config_pb2.ListConfigServicesRequest())
    await health_pb2_grpc.HealthStub(stubs.channel).Check(health_pb2.HealthCheckRequest())
    reflection = Reflection(stubs.channel)
    for name in await reflection.list_services():
        assert await reflection.files(name)


async def test_the_control_service_blocks_nothing(gateway, connect, no_blocking):
    control = ControlServer(gateway)
    channel = connect(f"127.0.0.1:{await control.start(0)}")
    reply = await channel.unary_unary("/virtufin.emulator.Control/Do")(b'{"do": "reset"}')
    assert b"result" in reply
    await control.stop()
