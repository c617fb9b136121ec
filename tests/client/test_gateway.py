"""Calls to backends."""

import grpc.aio
import pytest

from tests.client.scripted import WIRE
from tests.layouts import make_emulator
from tests.reflection import Reflection, message_class
from virtufin.api.client import InvalidRequestError, NotFoundError


# A12
async def test_list_services(client):
    assert await client.list_services_async() == ["workmanager", "websocketmanager"]


# A13
async def test_list_methods(client):
    methods = await client.list_methods_async("workmanager")
    listed = next(method for method in methods if method["name"] == "ListWorkers")
    assert listed == {
        "name": "ListWorkers",
        "full_name": "virtufin.WorkManager.ListWorkers",
        "input_type": "virtufin.ListWorkersRequest",
        "output_type": "virtufin.ListWorkersResponse",
        "is_client_streaming": False,
        "is_server_streaming": False,
    }


async def test_methods_of_an_unknown_service_are_not_found(client):
    with pytest.raises(NotFoundError):
        await client.list_methods_async("missing")


async def test_any_method_of_any_service_is_an_attribute(client):
    created = await client.gateway.workmanager.CreateWorker(
        {"code_source": {"url": "https://example.com/w.py"}, "mime_type": "text/x-python"}
    )
    await client.gateway.workmanager.StartWorker({"id": created["id"]})
    workers = (await client.gateway.workmanager.ListWorkers())["workers"]
    status = {worker["id"]: worker["status"] for worker in workers}
    assert status[created["id"]] == "WORKER_STATUS_RUNNING"


async def test_a_service_with_any_name_is_called_by_text(client):
    reply = await client.gateway.service("websocketmanager").call("List", {})
    assert len(reply["connections"]) == 1


async def test_invoke_and_invoke_json_are_the_same(client):
    one = await client.invoke_async("workmanager", "ListWorkers", {})
    two = await client.gateway.invoke_json_async("workmanager", "ListWorkers")
    assert one == two


@pytest.fixture
async def workmanager(gateway):
    """Returns a class of the sample's messages: `workmanager("GetTagsRequest")`."""
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        pool = await Reflection(channel).pool("virtufin.WorkManager")
    return lambda name: message_class(pool, f"virtufin.{name}")


async def test_a_raw_call_takes_and_returns_protobuf_bytes(client, workmanager):
    request = workmanager("ListWorkersRequest")().SerializeToString()
    reply = await client.gateway.invoke_raw_async("workmanager", "ListWorkers", request)
    assert workmanager("ListWorkersResponse").FromString(reply).workers[0].language == "python"


async def test_a_raw_call_that_is_refused_raises(client, workmanager):
    request = workmanager("GetTagsRequest")(id="no").SerializeToString()
    with pytest.raises(NotFoundError) as caught:
        await client.gateway.invoke_raw_async("workmanager", "GetTags", request)
    assert isinstance(caught.value, ValueError)


async def test_an_unknown_field_is_refused_by_the_gateway_and_named(client):
    with pytest.raises(InvalidRequestError, match="colour"):
        await client.gateway.workmanager.ListWorkers({"colour": "blue"})


async def test_the_schema_of_a_method_lists_its_fields(client):
    schema = await client.gateway.get_method_schema_async("workmanager", "CreateWorker")
    fields = {field["name"]: field for field in schema["fields"]}
    assert schema["schema_type"] == "input"
    assert fields["topics"]["is_repeated"]
    assert fields["mime_type"]["type"]


async def test_the_schema_of_a_reply_is_fetched_by_type(client):
    schema = await client.gateway.get_method_schema_async("workmanager", "CreateWorker", "output")
    assert [field["name"] for field in schema["fields"]] == ["id"]


async def test_a_oneof_in_a_schema_names_its_cases(scripted, connect):
    async def answer(request, context):
        response = WIRE["Gateway.GetMethodSchema"].response()
        field = response.schema.fields.add(name="source", oneof_group="source")
        field.oneof_cases.add(name="url", type="string", field_number=1)
        return response

    scripted.answer("Gateway.GetMethodSchema", answer)
    schema = await connect(scripted).gateway.get_method_schema_async("any", "Any")
    assert schema["fields"][0]["oneof_cases"] == [
        {"name": "url", "type": "string", "type_name": "", "field_number": 1}
    ]


async def test_an_empty_reply_is_an_empty_dict(scripted, connect):
    async def answer(request, context):
        return WIRE["Gateway.InvokeJson"].response(success=True)

    scripted.answer("Gateway.InvokeJson", answer)
    assert await connect(scripted).invoke_async("any", "Any") == {}


async def test_proto_names_come_as_the_gateway_sends_them(connect):
    async with make_emulator(json_names="proto") as gateway:
        worker = (await connect(gateway).gateway.workmanager.ListWorkers())["workers"][0]
    assert worker["mime_type"] == "text/x-python"


def test_private_names_are_no_services_and_no_methods(client):
    with pytest.raises(AttributeError):
        _ = client.gateway._secret
    with pytest.raises(AttributeError):
        _ = client.gateway.workmanager._secret


def test_proxies_say_what_they_stand_for(client):
    assert "workmanager" in repr(client.gateway.workmanager)
    assert client.gateway.workmanager.ListWorkers.__qualname__ == "workmanager.ListWorkers"
    assert client.target in repr(client.gateway)
