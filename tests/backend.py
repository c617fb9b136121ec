"""A backend behind the gateway that does what a test wants."""

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from grpc_reflection.v1alpha import reflection

from tests.reflection import WELL_KNOWN

PROBE = """
name: "acme/probe.proto" package: "acme" syntax: "proto3"
dependency: "google/protobuf/any.proto"
dependency: "google/protobuf/duration.proto"
dependency: "google/protobuf/timestamp.proto"
enum_type {
  name: "Color" value { name: "COLOR_NONE" number: 0 } value { name: "COLOR_RED" number: 1 }
}
message_type { name: "Nothing" }
message_type {
  name: "Everything"
  field { name: "some_text" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "big_number" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "raw_bytes" number: 3 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "color" number: 4 type: TYPE_ENUM type_name: ".acme.Color" label: LABEL_OPTIONAL }
  field { name: "counts_by_name" number: 5 type: TYPE_MESSAGE label: LABEL_REPEATED
          type_name: ".acme.Everything.CountsByNameEntry" }
  field { name: "at" number: 6 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".google.protobuf.Timestamp" }
  field { name: "took" number: 7 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".google.protobuf.Duration" }
  field { name: "children" number: 8 type: TYPE_MESSAGE label: LABEL_REPEATED
          type_name: ".acme.Everything" }
  field { name: "left" number: 9 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "right" number: 10 type: TYPE_INT32 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "maybe" number: 11 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 1
          proto3_optional: true }
  field { name: "anything" number: 12 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".google.protobuf.Any" }
  oneof_decl { name: "choice" }
  oneof_decl { name: "_maybe" }
  nested_type {
    name: "CountsByNameEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
  }
}
service {
  name: "Probe"
  method { name: "Echo" input_type: ".acme.Everything" output_type: ".acme.Everything" }
  method { name: "Watch" input_type: ".acme.Nothing" output_type: ".acme.Everything"
           server_streaming: true }
  method { name: "Collect" input_type: ".acme.Nothing" output_type: ".acme.Nothing"
           client_streaming: true }
}
"""


@pytest.fixture
def probe_text():
    """The descriptor of `acme.Probe` as text, to be changed."""
    return PROBE


class Probe:
    """A backend `acme.Probe` that echoes; `failures` come first, `answer` replaces the echo."""

    def __init__(self, text=PROBE, service=None):
        file = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
        self.pool = descriptor_pool.DescriptorPool()
        for known in WELL_KNOWN:
            self.pool.AddSerializedFile(known)
        self.pool.AddSerializedFile(file.SerializeToString())
        described = [f"{file.package}.{one.name}" for one in file.service]
        self.services = described if service is None else [service]
        self.calls = 0
        self.metadata = {}
        self.headers = []
        self.time_left = None
        self.failures = []
        self.answer = None
        self.port = 0
        self.server = None

    def message(self, name="acme.Everything"):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def start(self, *, reflect=True):
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        for service in self.services:
            handlers = {
                method.name: grpc.unary_unary_rpc_method_handler(
                    self._echo,
                    request_deserializer=self.message(method.input_type.full_name).FromString,
                    response_serializer=lambda message: message.SerializeToString(),
                )
                for method in self.pool.FindServiceByName(service).methods
            }
            self.server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, handlers),)
            )
        if reflect:
            # The one of grpcio-reflection, which is v1alpha only.
            names = [*self.services, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self.server, pool=self.pool)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()
        return self

    async def stop(self):
        if self.server is not None:
            await self.server.stop(None)
            self.server = None

    async def _echo(self, request, context):
        self.calls += 1
        self.headers = [tuple(pair) for pair in context.invocation_metadata()]
        self.metadata = dict(self.headers)
        self.time_left = context.time_remaining()
        if self.failures:
            await context.abort(self.failures.pop(0), "as the test wants")
        return request if self.answer is None else await self.answer(request)


@pytest.fixture
async def make_probe(take_port):
    """Starts backends that are stopped after the test: `await make_probe()`."""
    probes = []

    async def make(text=PROBE, *, port=0, reflect=True, service=None):
        probe = Probe(text, service)
        probe.port = port or take_port()
        probes.append(probe)
        return await probe.start(reflect=reflect)

    yield make
    for probe in probes:
        await probe.stop()


@pytest.fixture
async def probe(make_probe):
    """A backend."""
    return await make_probe()
