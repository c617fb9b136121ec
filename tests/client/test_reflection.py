"""The asyncio reflection client, against servers of several kinds."""

import asyncio
from types import SimpleNamespace

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, message_factory, text_format, timestamp_pb2
from grpc_reflection.v1alpha import reflection_pb2

# Private, because an `ApiClient` requests few symbols, and hides wrong answers.
from virtufin.api.client._protobuf.reflection_client import (
    V1,
    V1ALPHA,
    InvalidDescriptorsError,
    ReflectionClient,
    ReflectionError,
    ReflectionUnavailableError,
    ReflectionUnsupportedError,
    SymbolNotFoundError,
    build_pool,
)

BASE = 'name: "base.proto" package: "acme" message_type { name: "Base" }'
MAIN = """
name: "main.proto" package: "acme" syntax: "proto3" dependency: "base.proto"
message_type {
  name: "Main"
  field { name: "base" number: 1 type: TYPE_MESSAGE type_name: ".acme.Base" label: LABEL_OPTIONAL }
}
service { name: "Service" method { name: "Do" input_type: ".acme.Main" output_type: ".acme.Main" } }
"""


def file(text):
    return text_format.Parse(text, descriptor_pb2.FileDescriptorProto())


def reply(*files):
    data = [one.SerializeToString() for one in files]
    return {"file_descriptor_response": {"file_descriptor_proto": data}}


def error(code, message="as the test wants"):
    return {"error_response": {"error_code": code.value[0], "error_message": message}}


@pytest.fixture
async def serve():
    """A server whose reflection answers from a table; returns what a test needs to know of it."""
    closing = []

    async def start(answers, services=(V1, V1ALPHA)):
        seen = SimpleNamespace(questions=[], services=[], metadata=[])

        def handler(service):
            async def info(requests, context):
                seen.services.append(service)
                seen.metadata.append(dict(context.invocation_metadata()))
                async for request in requests:
                    kind = request.WhichOneof("message_request")
                    question = getattr(request, kind)
                    seen.questions.append(question)
                    answer = answers[question]
                    if callable(answer):
                        answer = await answer(context)
                    if answer is None:
                        return
                    if isinstance(answer, bytes):
                        yield answer
                        continue
                    yield reflection_pb2.ServerReflectionResponse(**answer)

            return grpc.stream_stream_rpc_method_handler(
                info,
                request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
                response_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
            )

        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service, {"ServerReflectionInfo": handler(service)}
                )
                for service in services
            )
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        closing.extend([channel.close, lambda: server.stop(None)])
        seen.channel = channel
        seen.client = ReflectionClient(channel)
        seen.stop = lambda: server.stop(None)
        return seen

    yield start
    for close in closing:
        await close()


async def test_services_are_listed(serve):
    server = await serve({"": {"list_services_response": {"service": [{"name": "acme.Service"}]}}})
    assert await server.client.list_services() == ["acme.Service"]


async def test_v1_is_asked_first_and_kept(serve):
    server = await serve({"acme.Base": reply(file(BASE))})
    await server.client.files("acme.Base")
    await server.client.files("acme.Base")
    assert server.services == [V1, V1]


async def test_v1alpha_is_used_if_v1_is_missing_and_then_kept(serve):
    server = await serve({"acme.Base": reply(file(BASE))}, services=[V1ALPHA])
    await server.client.files("acme.Base")
    assert server.client._services == (V1ALPHA,)


async def test_imported_files_are_fetched_and_come_first(serve):
    server = await serve({"acme.Service": reply(file(MAIN)), "base.proto": reply(file(BASE))})
    files = await server.client.files("acme.Service")
    assert [one.name for one in files] == ["base.proto", "main.proto"]


async def test_files_sent_along_are_not_requested(serve):
    server = await serve({"acme.Service": reply(file(MAIN), file(BASE))})
    await server.client.files("acme.Service")
    assert server.questions == ["acme.Service"]


async def test_several_symbols_share_one_set_of_files(serve):
    answers = {"acme.Service": reply(file(MAIN), file(BASE)), "acme.Base": reply(file(BASE))}
    server = await serve(answers)
    files = await server.client.files("acme.Service", "acme.Base")
    assert [one.name for one in files] == ["base.proto", "main.proto"]


async def test_the_pool_is_private_and_makes_messages(serve):
    server = await serve({"acme.Service": reply(file(MAIN)), "base.proto": reply(file(BASE))})
    first = await server.client.pool("acme.Service")
    second = await server.client.pool("acme.Service")
    assert first is not second
    message_class = message_factory.GetMessageClass(first.FindMessageTypeByName("acme.Main"))
    assert message_class(base={}).HasField("base")


async def test_an_unknown_symbol_is_not_found(serve):
    server = await serve({"acme.None": error(grpc.StatusCode.NOT_FOUND)})
    with pytest.raises(SymbolNotFoundError, match=r"acme\.None") as caught:
        await server.client.files("acme.None")
    assert caught.value.symbol == "acme.None"


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.PERMISSION_DENIED])
async def test_other_error_responses_keep_their_code(serve, code):
    server = await serve({"acme.Base": error(code), "": error(code)})
    for call in (server.client.files("acme.Base"), server.client.list_services()):
        with pytest.raises(ReflectionUnavailableError, match="as the test wants") as caught:
            await call
        assert caught.value.code is code


async def test_an_error_code_that_is_none_is_unknown(serve):
    server = await serve({"acme.Base": {"error_response": {"error_code": 99}}})
    with pytest.raises(ReflectionUnavailableError) as caught:
        await server.client.files("acme.Base")
    assert caught.value.code is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE])
async def test_a_failed_stream_keeps_its_code(serve, code):
    async def abort(context):
        await context.abort(code, "no")

    server = await serve({"": abort})
    with pytest.raises(ReflectionUnavailableError, match="no") as caught:
        await server.client.list_services()
    assert (caught.value.code, caught.value.details) == (code, "no")


async def test_a_server_that_is_away_is_unavailable(serve):
    server = await serve({})
    await server.stop()
    with pytest.raises(ReflectionUnavailableError) as caught:
        await server.client.list_services()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_does_not_answer_costs_the_timeout_at_most(serve):
    async def hang(context):
        await asyncio.Event().wait()

    server = await serve({"": hang})
    with pytest.raises(ReflectionUnavailableError) as caught:
        await ReflectionClient(server.channel, timeout=0.1).list_services()
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_stream_that_ends_without_an_answer_is_an_error(serve):
    async def end(context):
        return None

    server = await serve({"": end})
    with pytest.raises(InvalidDescriptorsError, match="without an answer"):
        await server.client.list_services()


async def test_cancelling_ends_the_stream_in_the_server(serve):
    reached, ended = asyncio.Event(), asyncio.Event()

    async def hang(context):
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    server = await serve({"": hang})
    task = asyncio.ensure_future(server.client.list_services())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended.wait()


async def test_metadata_is_sent(serve):
    server = await serve({"acme.Base": reply(file(BASE))})
    await ReflectionClient(server.channel, metadata=[("x-api-key", "k")]).files("acme.Base")
    assert server.metadata[0]["x-api-key"] == "k"


async def test_a_well_known_file_the_server_lacks_is_taken_from_here(serve):
    name = timestamp_pb2.DESCRIPTOR.name
    text = MAIN.replace("base.proto", name).replace(".acme.Base", ".google.protobuf.Timestamp")
    missing = error(grpc.StatusCode.NOT_FOUND)
    server = await serve({"acme.Service": reply(file(text)), name: missing})
    pool = await server.client.pool("acme.Service")
    main = message_factory.GetMessageClass(pool.FindMessageTypeByName("acme.Main"))()
    main.base.FromJsonString("2026-01-01T00:00:00Z")
    assert main.base.seconds


async def test_another_missing_file_does_no_harm_if_nothing_of_it_is_used(serve):
    text = MAIN.replace(".acme.Base", ".acme.Main")
    missing = error(grpc.StatusCode.NOT_FOUND)
    server = await serve({"acme.Service": reply(file(text)), "base.proto": missing})
    pool = await server.client.pool("acme.Service")
    assert pool.FindServiceByName("acme.Service")


async def test_a_missing_file_that_is_needed_is_an_error(serve):
    missing = error(grpc.StatusCode.NOT_FOUND)
    server = await serve({"acme.Service": reply(file(MAIN)), "base.proto": missing})
    with pytest.raises(InvalidDescriptorsError, match=r"main\.proto"):
        await server.client.pool("acme.Service")


async def test_an_import_refused_for_another_reason_is_an_error(serve):
    refusal = error(grpc.StatusCode.INTERNAL)
    server = await serve({"acme.Service": reply(file(MAIN)), "base.proto": refusal})
    with pytest.raises(ReflectionUnavailableError):
        await server.client.pool("acme.Service")


async def test_another_file_than_the_requested_one_is_an_error(serve):
    other = file(BASE.replace("base.proto", "other.proto"))
    server = await serve({"acme.Service": reply(file(MAIN)), "base.proto": reply(other)})
    with pytest.raises(InvalidDescriptorsError, match=r"base\.proto"):
        await server.client.files("acme.Service")


async def test_bytes_that_are_no_file_are_an_error(serve):
    garbage = {"file_descriptor_response": {"file_descriptor_proto": [b"\xff\xff"]}}
    server = await serve({"acme.Base": garbage})
    with pytest.raises(InvalidDescriptorsError, match="cannot be read"):
        await server.client.files("acme.Base")


async def garbage(context):
    return b"\xff\xff"


async def test_a_response_that_is_none_is_an_error(serve):
    server = await serve({"acme.Base": garbage})
    with pytest.raises(InvalidDescriptorsError, match="cannot be read"):
        await server.client.files("acme.Base")


async def test_a_server_without_reflection_says_so_every_time(serve):
    server = await serve({}, services=["acme.Other"])
    for _ in range(200):
        with pytest.raises(ReflectionUnsupportedError):
            await server.client.list_services()


async def test_files_that_import_each_other_are_an_error_not_an_endless_loop(serve):
    circle = file(BASE + ' dependency: "main.proto"')
    server = await serve({"acme.Service": reply(file(MAIN), circle)})
    with pytest.raises(InvalidDescriptorsError):
        await server.client.pool("acme.Service")


def test_a_pool_takes_files_in_any_order():
    pool = build_pool([file(MAIN), file(BASE)])
    assert pool.FindServiceByName("acme.Service")


def test_every_error_has_one_root():
    for kind in (
        InvalidDescriptorsError,
        ReflectionUnavailableError,
        ReflectionUnsupportedError,
        SymbolNotFoundError,
    ):
        assert issubclass(kind, ReflectionError)
