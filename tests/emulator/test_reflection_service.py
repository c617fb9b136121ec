"""Aggregated server reflection of the gateway."""

import asyncio
import socket

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.reflection import V1, V1ALPHA, Reflection, files_in, make_pool
from tests.timing import UNIT
from virtufin.api.emulator import Service

OWN = ["virtufin.Gateway", "virtufin.Pubsub", "virtufin.State", "virtufin.Config"]


@pytest.fixture
def client(stubs):
    return Reflection(stubs.channel)


@pytest.fixture(params=[V1, V1ALPHA])
def ask(request, stubs):
    """Sends a request to one version of the service."""

    async def question(**fields):
        call = stubs.channel.stream_stream(
            f"/{request.param}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )()
        await call.write(reflection_pb2.ServerReflectionRequest(**fields))
        response = await call.read()
        await call.done_writing()
        return response

    return question


async def test_the_gateway_s_services_and_every_backend_s_are_listed(ask):
    response = await ask(list_services="")
    assert [service.name for service in response.list_services_response.service] == [
        *OWN,
        "grpc.health.v1.Health",
        V1,
        V1ALPHA,
        "virtufin.WorkManager",
        "virtufin.WebSocketManager",
    ]


@pytest.mark.parametrize(
    "symbol",
    [
        *OWN,
        "virtufin.State.GetState",
        "virtufin.GetStateRequest.service",
        "virtufin.SaveStateRequest",
        "io.cloudevents.v1.CloudEvent",
        "grpc.health.v1.Health",
        V1,
        V1ALPHA,
        "virtufin.WorkManager",
        "virtufin.WorkerInfo.TagsEntry",
    ],
)
async def test_every_symbol_s_file_is_found_with_all_it_imports(ask, symbol):
    files = files_in(await ask(file_containing_symbol=symbol))
    pool = make_pool(files)
    owner = symbol.removesuffix(".GetState").removesuffix(".service")
    assert pool.FindFileContainingSymbol(owner).name == files[0].name


async def test_files_are_found_by_name(ask):
    (first, *_) = files_in(await ask(file_by_filename="virtufin/api/protos/state.proto"))
    assert first.name == "virtufin/api/protos/state.proto"


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "virtufin.Nothing"},
        {"file_containing_symbol": ""},
        {"file_by_filename": "nothing.proto"},
        {"file_containing_symbol": "virtufin.State.Nothing"},
        {"file_containing_symbol": "workmanager.Nothing"},
        {"file_containing_extension": {"containing_type": "virtufin.Tag", "extension_number": 1}},
        {"all_extension_numbers_of_type": "virtufin.Nothing"},
    ],
)
async def test_an_unknown_name_is_not_found_and_the_stream_goes_on(ask, question):
    error = (await ask(**question)).error_response
    assert error.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert error.error_message


async def test_a_question_without_content_is_an_invalid_argument(ask):
    error = (await ask()).error_response
    assert error.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_a_message_without_extensions_has_none(ask):
    response = await ask(all_extension_numbers_of_type="virtufin.StatusResponse")
    assert response.all_extension_numbers_response.base_type_name == "virtufin.StatusResponse"
    assert not response.all_extension_numbers_response.extension_number


async def test_extensions_of_a_backend_are_found(start, stubs_of, make_probe, probe_text):
    extended = probe_text.replace('syntax: "proto3"', 'syntax: "proto2"').replace(
        'message_type { name: "Nothing" }',
        'message_type { name: "Nothing" extension_range { start: 100 end: 200 } } '
        'extension { name: "more" number: 123 type: TYPE_STRING label: LABEL_OPTIONAL '
        'extendee: ".acme.Nothing" }',
    )
    extended = extended.replace("proto3_optional: true", "").replace("oneof_index: 1", "")
    extended = extended.replace('oneof_decl { name: "_maybe" }', "")
    backend = await make_probe(extended)
    stubs = stubs_of(await start(services=[Service("probe", backend.address)]))
    call = stubs.channel.stream_stream(
        f"/{V1}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()
    numbers = reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="acme.Nothing")
    await call.write(numbers)
    response = await call.read()
    assert list(response.all_extension_numbers_response.extension_number) == [123]
    where = {"containing_type": "acme.Nothing", "extension_number": 123}
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_extension=where))
    assert files_in(await call.read())[0].name == "acme/probe.proto"
    await call.done_writing()


async def test_a_registered_name_is_an_alias_of_its_service(ask):
    for symbol in ("workmanager", "workmanager.ListWorkers"):
        (file, *_) = files_in(await ask(file_containing_symbol=symbol))
        assert [service.name for service in file.service] == ["WorkManager"]


async def test_a_package_named_like_a_registered_service_is_no_alias(
    start, stubs_of, make_probe, probe_text
):
    backend = await make_probe(probe_text)
    gateway = await start(services=[Service("acme", backend.address)])
    client = Reflection(stubs_of(gateway).channel)
    assert (await client.files("acme.Probe"))[0].name == "acme/probe.proto"
    assert (await client.files("acme"))[0].name == "acme/probe.proto"


async def test_of_clashing_symbols_the_first_registered_wins_and_aliases_reach_both(
    start, stubs_of, make_probe, probe_text
):
    first = await make_probe()
    second = await make_probe(probe_text.replace("some_text", "other_text"))
    services = [Service("first", first.address), Service("second", second.address)]
    client = Reflection(stubs_of(await start(services=services)).channel)

    async def first_field(symbol):
        pool = await client.pool(symbol)
        return pool.FindMessageTypeByName("acme.Everything").fields[0].name

    assert await first_field("acme.Probe") == "some_text"
    assert await first_field("first") == "some_text"
    assert await first_field("second") == "other_text"


async def test_a_backend_that_is_down_is_left_out(start, stubs_of, make_probe, caplog):
    backend = await make_probe()
    services = [Service("up", backend.address), Service("down", "127.0.0.1:1")]
    client = Reflection(stubs_of(await start(services=services)).channel)
    assert (await client.list_services())[-1] == "acme.Probe"
    assert "down" in caplog.text
    with pytest.raises(LookupError):
        await client.files("down")


async def test_a_backend_without_services_has_no_alias(start, stubs_of, make_probe, probe_text):
    backend = await make_probe(probe_text[: probe_text.index("service {")])
    gateway = await start(services=[Service("empty", backend.address)])
    client = Reflection(stubs_of(gateway).channel)
    with pytest.raises(LookupError):
        await client.files("empty")


async def test_a_gateway_without_legacy_state_does_not_describe_it(start, stubs_of):
    gateway = await start(legacy_state=False)
    pool = await Reflection(stubs_of(gateway).channel).pool("virtufin.State")
    methods = pool.FindServiceByName("virtufin.State").methods_by_name
    assert "GetState" in methods
    assert "GetAllState" not in methods


async def test_grpcio_s_own_client_understands_it(gateway):
    def look_up():
        with grpc.insecure_channel(gateway.target) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = descriptor_pool.DescriptorPool(database)
            return pool.FindServiceByName("virtufin.WorkManager").methods_by_name.keys()

    assert "ListWorkers" in await asyncio.to_thread(look_up)


async def test_the_samples_have_reflection_themselves(gateway, connect):
    for service, name in zip(gateway.services, ("WorkManager", "WebSocketManager"), strict=True):
        client = Reflection(connect(gateway._registry.get_target(service)))
        assert f"virtufin.{name}" in await client.list_services()
        pool = await client.pool(f"virtufin.{name}")
        assert pool.FindServiceByName(f"virtufin.{name}").methods


async def test_the_gateway_s_own_services_are_described_without_a_call_to_a_backend(
    start, stubs_of
):
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        address = f"127.0.0.1:{stalled.getsockname()[1]}"
        gateway = await start(services=[Service("stalled", address)])
        client = Reflection(stubs_of(gateway).channel)
        assert await asyncio.wait_for(client.files("virtufin.State"), 5 * UNIT)
