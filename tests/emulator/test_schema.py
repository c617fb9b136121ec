"""virtufin.Gateway: ListMethods and GetMethodSchema."""

import grpc
import pytest

from virtufin.api.emulator import Service
from virtufin.api.protos import gateway_pb2


@pytest.fixture
async def gateway_stub(start, stubs_of, probe):
    return stubs_of(await start(services=[Service("probe", probe.address)])).gateway


@pytest.fixture
def schema(gateway_stub):
    async def get(method="Echo", type="", service="probe"):  # noqa: A002
        request = gateway_pb2.GetMethodSchemaRequest(service=service, method=method, type=type)
        return (await gateway_stub.GetMethodSchema(request)).schema

    return get


async def test_methods_are_listed_with_types_and_kinds(gateway_stub):
    request = gateway_pb2.ListMethodsRequest(service="probe")
    echo, watch, collect = (await gateway_stub.ListMethods(request)).methods
    assert echo == gateway_pb2.MethodInfo(
        name="Echo",
        full_name="acme.Probe.Echo",
        input_type="acme.Everything",
        output_type="acme.Everything",
    )
    assert (watch.is_server_streaming, watch.is_client_streaming) == (True, False)
    assert (collect.is_server_streaming, collect.is_client_streaming) == (False, True)


async def test_methods_of_an_unknown_service_are_not_found(gateway_stub, refused):
    call = gateway_stub.ListMethods(gateway_pb2.ListMethodsRequest(service="missing"))
    assert (await refused(call)).code() is grpc.StatusCode.NOT_FOUND


async def test_methods_of_a_backend_that_is_down_are_unavailable(gateway_stub, probe, refused):
    await probe.stop()
    call = gateway_stub.ListMethods(gateway_pb2.ListMethodsRequest(service="probe"))
    assert (await refused(call)).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("reflect", [True, False])
async def test_a_backend_without_description_is_no_failure_of_the_gateway(
    start, stubs_of, make_probe, refused, reflect
):
    backend = await make_probe(reflect=reflect)
    missing = "acme.Other" if reflect else ""
    services = [Service("probe", backend.address, grpc_service=missing)]
    stub = stubs_of(await start(services=services)).gateway
    code = grpc.StatusCode.NOT_FOUND if reflect else grpc.StatusCode.FAILED_PRECONDITION
    for call in (
        stub.ListMethods(gateway_pb2.ListMethodsRequest(service="probe")),
        stub.GetMethodSchema(gateway_pb2.GetMethodSchemaRequest(service="probe", method="Echo")),
    ):
        assert (await refused(call)).code() is code


async def test_a_schema_is_of_the_input_by_default(schema):
    found = await schema("Watch")
    assert (found.schema_type, found.input_type_name) == ("input", "acme.Nothing")
    assert not found.fields
    found = await schema("Watch", "output")
    assert (found.schema_type, found.output_type_name) == ("output", "acme.Everything")
    assert found.fields


async def test_a_schema_describes_every_kind_of_field(schema):
    fields = {field.name: field for field in (await schema()).fields}
    assert {name: (field.type, field.type_name) for name, field in fields.items()} == {
        "some_text": ("string", ""),
        "big_number": ("int64", ""),
        "raw_bytes": ("bytes", ""),
        "color": ("enum", "acme.Color"),
        "counts_by_name": ("map", "map<string, int32>"),
        "at": ("message", "google.protobuf.Timestamp"),
        "took": ("message", "google.protobuf.Duration"),
        "children": ("message", "acme.Everything"),
        "left": ("string", ""),
        "right": ("int32", ""),
        "maybe": ("string", ""),
        "anything": ("message", "google.protobuf.Any"),
    }
    assert [name for name, field in fields.items() if field.is_repeated] == ["children"]
    assert [name for name, field in fields.items() if field.is_optional] == ["maybe"]


async def test_a_oneof_is_described_with_its_cases(schema):
    fields = {field.name: field for field in (await schema()).fields}
    assert [name for name, field in fields.items() if field.oneof_group] == ["left", "right"]
    assert fields["left"].oneof_group == "choice"
    assert list(fields["left"].oneof_cases) == [
        gateway_pb2.OneofCaseSchema(name="left", type="string", field_number=9),
        gateway_pb2.OneofCaseSchema(name="right", type="int32", field_number=10),
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"method": "Shout"}, grpc.StatusCode.NOT_FOUND),
        ({"service": "missing"}, grpc.StatusCode.NOT_FOUND),
        ({"type": "both"}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_name_without_schema_is_refused(schema, refused, arguments, code):
    assert (await refused(schema(**arguments))).code() is code
