"""Other packages carry messages of the same names in protobuf's default pool."""

import subprocess
import sys

import pytest

FOREIGN = """
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

def foreign(path, package, name, imported=()):
    file = descriptor_pb2.FileDescriptorProto(
        name=path, package=package, syntax="proto3", dependency=imported)
    message = file.message_type.add(name=name)
    # Other fields than ours, so that a mix-up cannot go unseen.
    message.field.add(name="foreign", number=90, type=9, label=1)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    full_name = f"{package}.{name}"
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))

events = [
    foreign("cloudevents.proto", "io.cloudevents.v1", "CloudEvent"),
    foreign("virtufin/api/protos/cloudevents.proto", "other", "CloudEvent"),
    foreign("gateway.proto", "virtufin", "InvokeRequest"),
    foreign("virtufin/api/protos/gateway.proto", "virtufin", "StatusResponse"),
    foreign("state.proto", "virtufin", "GetStateRequest"),
]
for event in events:
    assert event.FromString(event(foreign="x").SerializeToString()).foreign == "x"
"""
OURS = """
from virtufin.api.protos import (
    cloudevents_pb2, config_pb2_grpc, gateway_pb2_grpc, pubsub_pb2, pubsub_pb2_grpc, state_pb2_grpc)

request = pubsub_pb2.PublishRequest(topic="t", cloudevent=cloudevents_pb2.CloudEvent(id="1"))
assert pubsub_pb2.PublishRequest.FromString(request.SerializeToString()).cloudevent.id == "1"
"""


@pytest.mark.parametrize(
    "order", [(FOREIGN, OURS), (OURS, FOREIGN)], ids=["foreign first", "packaged first"]
)
def test_ours_import_beside_foreign_stubs(order):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(order)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_standard_library_is_not_shadowed():
    check = "import virtufin.api.protos.cloudevents_pb2, io; assert io.StringIO('x').read() == 'x'"
    subprocess.run([sys.executable, "-c", check], check=True)
