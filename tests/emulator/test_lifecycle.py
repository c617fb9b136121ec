"""Start, stop, ports."""

import asyncio
import errno
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from virtufin.api.emulator import Emulator, Service
from virtufin.api.protos import gateway_pb2, pubsub_pb2, state_pb2

LIST = gateway_pb2.ListServicesRequest()


def _loopbacks():
    """The loopback addresses that this machine has."""
    hosts = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.bind((host, 0))
        except OSError:
            continue
        hosts.append(host)
    return hosts


async def test_a_gateway_listens_on_a_free_port_of_loopback(stubs_of):
    async with Emulator() as gateway:
        assert gateway.host == "127.0.0.1"
        assert gateway.port > 0
        assert gateway.target == f"127.0.0.1:{gateway.port}"
        await stubs_of(gateway).gateway.ListServices(LIST)
    with socket.socket() as probe:
        assert probe.connect_ex((gateway.host, gateway.port)) == errno.ECONNREFUSED


async def test_the_repr_shows_the_address_and_the_state(gateway):
    assert repr(gateway) == f"<Emulator {gateway.target}, running>"
    await gateway.stop()
    assert repr(gateway) == f"<Emulator {gateway.target}, stopped>"


async def test_starting_and_stopping_twice_does_no_harm(gateway, stubs_of):
    port = gateway.port
    await gateway.start()
    assert gateway.port == port
    await stubs_of(gateway).gateway.ListServices(LIST)
    await gateway.stop()
    await gateway.stop()
    assert not gateway.running


async def test_starting_twice_at_once_starts_once(stubs_of):
    gateway = Emulator()
    await asyncio.gather(gateway.start(), gateway.start())
    assert (await stubs_of(gateway).gateway.ListServices(LIST)).services
    await asyncio.gather(gateway.stop(), gateway.stop())
    assert not gateway.running


async def test_a_restart_keeps_port_and_state(gateway, stubs_of):
    port = gateway.port
    save = state_pb2.SaveStateRequest(service="workmanager", key="k", value="v")
    await stubs_of(gateway).state.SaveState(save)
    await gateway.stop()
    await gateway.start()
    assert gateway.port == port
    get = state_pb2.GetStateRequest(service="workmanager", key="k")
    assert (await stubs_of(gateway).state.GetState(get)).value == "v"


async def test_reset_forgets_state_samples_and_faults(gateway, stubs, invoke_json):
    save = state_pb2.SaveStateRequest(service="workmanager", key="k", value="v")
    await stubs.state.SaveState(save)
    await invoke_json(stubs, "workmanager", "CreateWorker")
    gateway.faults.fail("*", "INTERNAL", times=10)
    await gateway.reset()
    get = state_pb2.GetStateRequest(service="workmanager", key="k")
    assert not (await stubs.state.GetState(get)).etag
    everything = state_pb2.GetAllStateRequest(service="workmanager")
    assert not (await stubs.state.GetAllState(everything)).values
    workers = await invoke_json(stubs, "workmanager", "ListWorkers")
    assert workers.response_data.count('"id"') == 1


async def test_reset_works_without_legacy_state(start, stubs_of):
    gateway = await start(legacy_state=False)
    state = stubs_of(gateway).state
    await state.SaveState(state_pb2.SaveStateRequest(service="workmanager", key="k", value="v"))
    await gateway.reset()
    entry = await state.GetState(state_pb2.GetStateRequest(service="workmanager", key="k"))
    assert not entry.etag


async def test_a_taken_port_is_an_error_in_words(gateway):
    with pytest.raises(OSError, match=f"{gateway.port}.*taken") as caught:
        await Emulator(port=gateway.port).start()
    assert caught.value.errno == errno.EADDRINUSE


async def test_an_emulator_that_could_not_start_can_start_later(gateway, stubs_of):
    second = Emulator(port=gateway.port)
    with pytest.raises(OSError, match="taken"):
        await second.start()
    assert not second.running
    await gateway.stop()
    async with second:
        await stubs_of(second).gateway.ListServices(LIST)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 64])
async def test_a_host_that_is_not_of_this_machine_is_an_error_in_words(host):
    with pytest.raises(OSError, match=f"cannot listen on .*{host}"):
        await Emulator(host=host).start()


async def test_a_port_that_grpc_refuses_is_an_error_too(monkeypatch):
    def refuse(self, address):
        raise RuntimeError("no")

    monkeypatch.setattr(grpc.aio._server.Server, "add_insecure_port", refuse)
    with pytest.raises(OSError, match="cannot listen"):
        await Emulator(services=[]).start()
    monkeypatch.setattr(grpc.aio._server.Server, "add_insecure_port", lambda *_: 0)
    with pytest.raises(OSError, match="cannot listen"):
        await Emulator(services=[]).start()


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1", "::"])
async def test_other_hosts_can_be_listened_on(start, stubs_of, host):
    gateway = await start(host=host)
    assert gateway.host == host
    assert (await stubs_of(gateway).gateway.ListServices(LIST)).services


async def test_localhost_is_one_port_on_each_loopback_address(start):
    gateway = await start(host="localhost")
    for host in _loopbacks():
        with socket.create_connection((host, gateway.port)) as connection:
            assert connection.getpeername()[1] == gateway.port


async def test_a_port_taken_on_one_address_of_localhost_is_taken(start):
    hosts = _loopbacks()
    if len(hosts) < 2:
        pytest.skip("this machine has no IPv6")
    gateway = await start(host=hosts[1])
    with pytest.raises(OSError, match="taken"):
        await Emulator(host="localhost", port=gateway.port).start()


async def test_a_free_port_is_free_on_every_address(start, monkeypatch):
    hosts = _loopbacks()
    if len(hosts) < 2:
        pytest.skip("this machine has no IPv6")
    taken = []

    def bind(sock, where):
        # The system chooses such a port once in hundreds of times.
        if where[0] == hosts[1] and len(taken) < 2:
            taken.append(where[1])
            raise OSError(errno.EADDRINUSE, "taken on the second address")
        real(sock, where)

    real = socket.socket.bind
    monkeypatch.setattr(socket.socket, "bind", bind)
    gateway = await start(host="localhost", services=[])
    assert gateway.running
    assert len(taken) == 2
    assert gateway.port not in taken


async def test_stop_ends_subscriptions_at_once_as_unavailable(gateway, stubs, refused, unit):
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    await stream.initial_metadata()
    await asyncio.wait_for(gateway.stop(grace=60), 5 * unit)
    error = await refused(stream.read())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "shutting down" in error.details()


async def test_a_subscription_that_comes_while_stopping_ends_at_once(gateway, stubs, refused):
    await gateway._backend.stop()
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    assert (await refused(stream.read())).code() is grpc.StatusCode.UNAVAILABLE


async def test_stop_ends_subscriptions_that_are_not_read(gateway, stubs, unit):
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    await stream.initial_metadata()
    event = {"id": "1", "text_data": "x" * 1_000_000}
    for _ in range(5):
        await stubs.pubsub.PublishEvent(pubsub_pb2.PublishRequest(topic="a", cloudevent=event))
    await asyncio.wait_for(gateway.stop(), 5 * unit)
    assert not gateway.running


async def test_stop_does_not_wait_for_watchers_beyond_the_grace_time(gateway, stubs, unit):
    watch = health_pb2_grpc.HealthStub(stubs.channel).Watch(health_pb2.HealthCheckRequest())
    await watch.read()
    await asyncio.wait_for(gateway.stop(grace=0.1 * unit), 5 * unit)
    assert not gateway.running


async def test_stop_lets_calls_finish_within_the_grace_time(
    start, stubs_of, probe, invoke_json, unit
):
    gateway = await start(services=[Service("probe", probe.address)])
    reached = asyncio.Event()

    async def answer(request):
        reached.set()
        await asyncio.sleep(0.1 * unit)
        return request

    probe.answer = answer
    call = asyncio.ensure_future(invoke_json(stubs_of(gateway), "probe", "Echo"))
    await reached.wait()
    await gateway.stop(grace=10 * unit)
    assert (await call).success


@pytest.mark.slow
async def test_frequent_keepalive_pings_are_welcome(gateway, stubs_of):
    stubs = stubs_of(
        gateway,
        keepalive_time_ms=100,
        keepalive_timeout_ms=10_000,
        **{"http2.ping_timeout_ms": 10_000, "http2.max_pings_without_data": 0},
    )
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    await stream.initial_metadata()
    # Real seconds: gRPC sends a ping a second at most, and a server that minds ends the connection
    # with the third one too many.
    done, _ = await asyncio.wait([asyncio.ensure_future(stream.read())], timeout=4.5)
    assert not done
    stream.cancel()


async def test_messages_beyond_the_limit_are_refused(start, stubs_of, refused):
    stubs = stubs_of(await start(max_message_bytes=10_000))
    save = state_pb2.SaveStateRequest(service="workmanager", key="k", value="x" * 20_000)
    error = await refused(stubs.state.SaveState(save))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_of_a_connection_can_be_limited(start, stubs_of, unit):
    stubs = stubs_of(await start(max_concurrent_streams=1))
    first = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    await first.initial_metadata()
    second = asyncio.ensure_future(stubs.gateway.ListServices(LIST))
    done, _ = await asyncio.wait([second], timeout=0.2 * unit)
    assert not done
    first.cancel()
    await asyncio.wait_for(second, 5 * unit)


async def test_a_failed_start_stops_what_was_started(gateway, monkeypatch):
    second = Emulator(port=gateway.port)
    with pytest.raises(OSError, match="taken"):
        await second.start()
    for sample in second._samples:
        assert sample._server is None


async def test_services_are_listed(gateway):
    assert [service.name for service in gateway.services] == ["workmanager", "websocketmanager"]


async def test_nothing_is_left_running_after_stop(start):
    before = asyncio.all_tasks()
    gateway = await start()
    await gateway.stop()
    await asyncio.sleep(0)
    assert {task for task in asyncio.all_tasks() - before if "grpc" not in repr(task)} == set()
