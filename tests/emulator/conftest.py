"""A gateway on a real port, stubs to speak to it, and a backend that does what a test wants."""

from types import SimpleNamespace

import grpc
import grpc.aio
import pytest

from tests.backend import make_probe, probe, probe_text
from tests.layouts import described_layout
from tests.reflection import Reflection
from tests.timing import UNIT
from virtufin.api.emulator import Emulator
from virtufin.api.protos import (
    config_pb2_grpc,
    gateway_pb2,
    gateway_pb2_grpc,
    pubsub_pb2,
    pubsub_pb2_grpc,
    state_pb2_grpc,
)

__all__ = ["make_probe", "probe", "probe_text"]


@pytest.fixture
def unit():
    """Seconds: what every duration in the tests is a multiple of."""
    return UNIT


@pytest.fixture
async def connect():
    """Opens channels that are closed after the test."""
    channels = []

    def open_channel(target, **options):
        pairs = [("grpc." + name, value) for name, value in options.items()]
        channel = grpc.aio.insecure_channel(
            target, options=[("grpc.use_local_subchannel_pool", 1), *pairs]
        )
        channels.append(channel)
        return channel

    yield open_channel
    for channel in channels:
        await channel.close()


@pytest.fixture
async def start(take_port):
    """Starts emulators that are stopped after the test."""
    emulators = []

    async def start_one(**options):
        if not {"host", "port"} & options.keys():
            options["port"] = take_port()
        emulator = Emulator(**options)
        emulators.append(emulator)
        await emulator.start()
        return emulator

    yield start_one
    for emulator in emulators:
        await emulator.stop()


@pytest.fixture
async def gateway(start):
    """A gateway with the default settings."""
    return await start()


@pytest.fixture
def stubs_of(connect):
    """Stubs of all services on a channel of their own: `stubs_of(emulator)`."""

    def stubs(emulator, **options):
        channel = connect(emulator.target, **options)
        return SimpleNamespace(
            channel=channel,
            gateway=gateway_pb2_grpc.GatewayStub(channel),
            state=state_pb2_grpc.StateStub(channel),
            pubsub=pubsub_pb2_grpc.PubsubStub(channel),
            config=config_pb2_grpc.ConfigStub(channel),
        )

    return stubs


@pytest.fixture
def stubs(gateway, stubs_of):
    """Stubs to `gateway`."""
    return stubs_of(gateway)


@pytest.fixture
def subscribe(stubs):
    """Opens a stream; returns it when it is registered."""

    async def open_stream(*topics):
        stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=topics))
        await stream.initial_metadata()
        return stream

    return open_stream


@pytest.fixture
async def serve_sidecar():
    """Serves a part of Dapr's API until the test ends: `await serve_sidecar(servicer)`.

    The servicer, which is returned, then knows its `address`.
    """
    from dapr.proto import api_service_v1  # not there in every environment of these tests

    servers = []

    async def serve(servicer):
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        servers.append(server)
        api_service_v1.add_DaprServicer_to_server(servicer, server)
        servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        return servicer

    yield serve
    for server in servers:
        await server.stop(None)


@pytest.fixture
def invoke_json():
    """`await invoke_json(stubs, "orders", "Echo", "{}")` returns the gateway's response."""

    async def invoke(stubs, service, method, request_data="{}", **call):
        request = gateway_pb2.InvokeJsonRequest(
            service=service, method=method, request_data=request_data
        )
        return await stubs.gateway.InvokeJson(request, **call)

    return invoke


@pytest.fixture
def refused():
    """`await refused(call)` returns the error a call ended with."""

    async def outcome(call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return caught.value

    return outcome


class Spoken:
    """The gateway's methods by short name, with the messages its reflection describes."""

    def __init__(self, channel, wire, pool):
        self.channel = channel
        self.wire = wire
        self.pool = pool

    def __call__(self, name, /, **fields):
        method = self.wire[name]
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = kind(
            method.path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=method.response.FromString,
        )
        return call(method.request(**fields))

    async def subscribe(self, name="Pubsub.Subscribe", /, **fields):
        """Opens a stream; returns it when it is registered."""
        stream = self(name, **fields)
        await stream.initial_metadata()
        return stream


@pytest.fixture
def describe(connect):
    """Uses one version of reflection: `await describe(emulator, V1, symbol)` returns a pool."""

    async def fetch(emulator, version, symbol):
        return await Reflection(connect(emulator.target), version=version).pool(symbol)

    return fetch


@pytest.fixture
def learn(connect):
    """Learns a gateway's wire by reflection: `speak = await learn(emulator)`."""

    async def fetch(emulator):
        channel = connect(emulator.target)
        return Spoken(channel, *await described_layout(channel))

    return fetch
