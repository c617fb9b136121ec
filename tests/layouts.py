"""Message layouts of gateways: the one that a run of the tests uses, and layouts with gaps."""

import os

import grpc.aio
from google.protobuf import descriptor_pb2

from tests.reflection import V1, Reflection, make_pool
from virtufin.api.client import Wire
from virtufin.api.emulator import Emulator

LAYOUTS = ("current", "moved-numbers", "earlier")
"""The names that `Emulator(wire=)` takes."""
CHOSEN = os.environ.get("VIRTUFIN_TEST_WIRE") or "current"
"""The layout of the gateways of the client's tests. VIRTUFIN_TEST_WIRE names another."""
OWN = [f"virtufin.{name}" for name in ("Gateway", "Pubsub", "State", "Config")]
"""The services of a gateway; a layout may lack some."""


def make_emulator(**options):
    """Returns an emulator with the layout of this run, unless `wire` names another."""
    return Emulator(**{"wire": CHOSEN, **options})


async def described_layout(channel, *, version=V1):
    """Returns the layout that a gateway describes by reflection, and the pool with its messages."""
    reflection = Reflection(channel, version=version)
    listed = await reflection.list_services()
    pool = await reflection.pool(*(name for name in listed if name in OWN))
    files = [pool.FindServiceByName(name).file for name in listed if name in OWN]
    return Wire.from_files(files, origin="described"), pool


async def named_layout(name):
    """Returns the layout of that name, as an emulator describes it."""
    async with Emulator(wire=name) as gateway, grpc.aio.insecure_channel(gateway.target) as channel:
        wire, _ = await described_layout(channel)
    return wire


def without(wire, *names):
    """Returns a layout without these methods (`State.QueryState`) and fields (`Message.field`)."""
    files, waiting = {}, [wire[name].request.DESCRIPTOR.file for name in wire]
    while waiting:
        file = waiting.pop()
        if file.name not in files:
            files[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)
            waiting.extend(file.dependencies)
    left_out = set()
    for message in [message for file in files.values() for message in file.message_type]:
        for field in list(message.field):
            if f"{message.name}.{field.name}" in names:
                message.field.remove(field)
                left_out.add(f"{message.name}.{field.name}")
    kept = {wire[name].full_name for name in wire if name not in names}
    for file in files.values():
        for service in list(file.service):
            for method in list(service.method):
                if f"{file.package}.{service.name}/{method.name}" not in kept:
                    service.method.remove(method)
            if not service.method:
                file.service.remove(service)
    missing = set(names) - left_out - set(wire)
    assert not missing, f"the layout has no {missing}"
    pool = make_pool(files.values())
    return Wire.from_files(map(pool.FindFileByName, files), origin=wire.origin)
